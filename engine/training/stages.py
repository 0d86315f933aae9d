"""The stages of multi-neck distillation: a teacher's descriptors of all training boxes, and the centres made of them.

Stage 1 writes the provenance of its descriptors, stage 2 passes it on, and stage 3 compares it with that of its run.
Both are made by `provenance`.
"""

from __future__ import annotations

import copy
import logging
import math
import shlex
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Subset

from dataset import CocoDataset, ObjectBatch, ObjectTestTransform, collate_objects
from distillation import Centers, load_centers
from distillation.fgd_terms import pyramid_of
from distillation.multineck.feature_files import FeatureWriter
from distillation.multineck.provenance import Provenance, tensors_sha256
from distillation.multineck.roi_features import TOP_CHANNELS, roi_descriptors
from engine.experiment import Experiment
from engine.inference.flow import Track, silent
from engine.inference.parallel import start_worker
from engine.precision import autocast
from engine.training.teachers import Teacher
from errors import InputError
from files import file_sha256, files_sha256
from models.layers import require_range

logger = logging.getLogger(__name__)


def provenance(cfg: Experiment, teacher: Teacher, dataset: CocoDataset, precision: str = "32") -> Provenance:
    """Provenance of the descriptors of a teacher's boxes.

    Args:
        cfg: experiment of the distillation.
        dataset: its training split.
        precision: precision of the teacher.
    """
    return Provenance(
        teacher=teacher.checkpoint,
        teacher_sha256=tensors_sha256(teacher.weights),
        classes=tuple(dataset.classes),
        annotation=str(dataset.ground_truth),
        annotation_sha256=file_sha256(dataset.ground_truth),
        images=len(dataset),
        images_sha256=_images_sha256(dataset),
        settings={**_sides(dataset), "top_channels": _top_channels(cfg), "precision": precision},
    )


def collect(
    cfg: Experiment,
    teacher: Teacher,
    dataset: CocoDataset,
    path: Path,
    device: torch.device,
    precision: str = "32",
    most: int = -1,
    workers: int = 0,
    track: Track = silent,
) -> bool:
    """Stage 1: writes the descriptors of all ground-truth boxes; an interrupted collection is resumed.

    Images are taken one by one, without flip, at the largest of the training sizes. Only backbone and neck run.

    Args:
        cfg, teacher, dataset: see provenance.
        path: path of the file of features.
        most: images to take in this call; -1 for all.
        workers: processes that read and resize images.
        track: shows progress.

    Returns:
        True if the file is complete.

    Raises:
        InputError: an image that cannot be read, features that are not finite, or features of another teacher or other
            data in the same place.
    """
    network = teacher.network.eval().to(device, memory_format=torch.channels_last)
    resized = copy.copy(dataset)
    resized.transform = ObjectTestTransform(**_sides(dataset))
    with FeatureWriter(path, provenance(cfg, teacher, dataset, precision)) as writer:
        if writer.resume_at:
            logger.info("%s: %d of %d images are there already", path, writer.resume_at, len(dataset))
        indices = range(writer.resume_at, len(dataset))[: most if most > 0 else None]
        loader = DataLoader(
            Subset(resized, indices), 1, collate_fn=collate_objects, num_workers=workers, worker_init_fn=start_worker
        )
        batch: ObjectBatch
        for batch, index in zip(track(loader, len(indices)), indices):
            with torch.inference_mode():
                with autocast(precision, device):
                    images = batch.images.to(device, memory_format=torch.channels_last)
                    levels = pyramid_of(network, images)
                [target] = batch.to(device).targets
                descriptors = roi_descriptors(levels, [target["boxes"]], _top_channels(cfg))
            if not descriptors.isfinite().all():
                raise InputError(
                    f"{teacher.checkpoint}: its features of image {batch.names[0]} are not finite; train it again, or "
                    "collect with --precision 32"
                )
            writer.add(index, descriptors, target["labels"])
    return writer.resume_at == len(dataset)


def centers_of(cfg: Experiment, teachers: Sequence[Teacher], dataset: CocoDataset) -> list[Centers]:
    """Stage 3: the class centres that the config names for each teacher.

    Args:
        cfg, teachers, dataset: see provenance.

    Raises:
        InputError: a file that is missing, or was made from another checkpoint, other classes, data or settings.
    """
    found = []
    for teacher, entry in zip(teachers, cfg.distiller.teachers):
        path = entry.centers
        if path is None:
            raise InputError(
                f"distiller.teachers.{teacher.number - 1}.centers is missing: name the file of this teacher's centres"
            )
        remedy = f"make it with  {_commands(cfg, teacher.number, Path(path))}"
        if not Path(path).is_file():
            raise InputError(f"{path}: no class centres of teacher {teacher.number} there; {remedy}")
        centers = load_centers(path)
        precision = str(centers.provenance.settings.get("precision"))  # any precision is accepted
        centers.provenance.match(provenance(cfg, teacher, dataset, precision), path, remedy)
        found.append(centers)
    return found


@lru_cache(maxsize=1)
def _images_sha256(dataset: CocoDataset) -> str:
    """Of all its image files, which are read for it: once for all teachers."""
    return files_sha256(map(dataset.image_path, range(len(dataset))))


def features_path(folder: Path, number: int) -> Path:
    """Path of the features of teacher `number`, from 1, in the folder of a run."""
    return folder / f"roi_features_teacher{number}.npz"


def centers_path(features: Path) -> Path:
    """Path of the centres made from a file of features."""
    return features.with_name(f"{features.stem}_centers.npz")


def _commands(cfg: Experiment, number: int, centers: Path) -> str:
    features = features_path(centers.parent, number)
    collect = ["tools/collect_roi_features.py", cfg.path, "--teacher", number, "--out", centers.parent]
    cluster = ["tools/fit_centers.py", features, *([] if centers == centers_path(features) else ["--out", centers])]
    first, second = (shlex.join(["python", *map(str, command)]) for command in (collect, cluster))
    return f"{first}  (and the --cfg-options of this run, if any), then  {second}"


def _sides(dataset: CocoDataset) -> dict[str, int]:
    """Sides of the images that are described: those of training, the largest where one is drawn at random."""
    return {"short_side": max(dataset.transform.short_sides), "long_side": dataset.transform.long_side}


def _top_channels(cfg: Experiment) -> int:
    top_channels = cfg.distiller.options.get("top_channels", TOP_CHANNELS)
    require_range("distiller", 1, math.inf, top_channels=top_channels)
    return top_channels
