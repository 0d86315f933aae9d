"""What a trained detector finds. Of text: at every threshold, image by image, and the quality of its maps.

    python benchmarks/gain_measure.py config/light/m_ic15.py CHECKPOINT FILE

Writes FILE, a JSON: `pixels`, pairs of min_text and min_kernel; `thresholds`, of min_score; `counts` of every image for
each pair and threshold (ground truths, predictions, numerators of recall and of precision); `pixel_ap`, the average
precision of the text and of the kernel probability, over all pixels of the maps that are not ignored. Of objects:
`scores`, COCO's average precisions.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from harness import ROOT  # noqa: F401 (makes the project importable)
from torch import Tensor
from torchmetrics.functional.classification import binary_average_precision

import eval
from command_line import Parser
from dataset import TextDataset
from dataset.text.targets import make_targets
from engine.experiment import Experiment, load_experiment
from engine.inference.evaluator import Evaluator
from engine.precision import PRECISIONS, resolve_device
from engine.report.calibration import INSTANCES, PIXELS, output_maps, readings
from engine.report.comparison import CREDITS
from engine.tasks import TASKS
from errors import exit_code
from eval.files import write_json
from models.text.soft_maps import judged, reduced


def measure(cfg: Experiment, checkpoint: Path, precision: str, device: str) -> dict[str, Any]:
    """See above."""
    return (measure_text if cfg.task is TASKS["text"] else measure_objects)(cfg, checkpoint, precision, device)


def measure_objects(cfg: Experiment, checkpoint: Path, precision: str, device: str) -> dict[str, Any]:
    """Scores of an object detector."""
    dataset = cfg.task.test_set(cfg.data.test, cfg.test_cfg)
    detector, _ = Evaluator.of(cfg, checkpoint, resolve_device(device), precision, cfg.data.batch_size)
    with TemporaryDirectory() as folder:
        found = detector.evaluate(dataset, detector.predict(dataset), Path(folder) / "detections.json")
    return {"scores": {name: found[name] for name in ("ap", "ap50", "ap75")}}


def measure_text(cfg: Experiment, checkpoint: Path, precision: str, device: str) -> dict[str, Any]:
    """What a text detector finds."""
    settings = cfg.test_cfg
    dataset = cfg.task.test_set(cfg.data.test, settings)
    detector, _ = Evaluator.of(cfg, checkpoint, resolve_device(device), precision, 1)
    outputs = output_maps(detector, dataset)
    truth = eval.PROTOCOLS[settings.protocol].read_ground_truth(dataset.parser.ground_truth)
    counts: dict[str, list[list[list[float]]]] = {name: [] for name in outputs}
    for _, everything in readings(outputs, detector.detector.head.maps, settings):
        for name, found in everything.items():
            rows = eval.sweep(settings.protocol, {name: truth[name]}, {name: found}, INSTANCES, settings.variant)
            counts[name].append(
                [
                    [row["ground_truth"], row["predictions"], *(row["true_positives"] + row.get(c, 0) for c in CREDITS)]
                    for row in rows
                ]
            )
    probabilities = [torch.from_numpy(output["logits"][:2]).sigmoid() for output in outputs.values()]
    maps = pixel_ap(probabilities, dataset, cfg)
    return {"pixels": PIXELS, "thresholds": INSTANCES, "counts": counts, "pixel_ap": maps}


def pixel_ap(maps: list[Tensor], dataset: TextDataset, cfg: Experiment) -> dict[str, float]:
    """Average precision over the pixels of all images.

    Args:
        maps: (2, h, w) of each image, probabilities of text and of its kernel.
    """
    scores, labels = [], []
    for index, probabilities in enumerate(maps):
        record, size = dataset.parser[index], probabilities.shape[-2:]
        image = dataset[index]
        full = image.image.shape[-2:]
        scale = np.array([full[1] / image.original_size[1], full[0] / image.original_size[0]], np.float32)
        targets = make_targets(
            [p * scale for p in record.polygons], record.ignore, full, cfg.data.train.transform.ratios
        )
        kept = judged(torch.from_numpy(targets.training_mask)[None], size)[0].bool()
        drawn = torch.from_numpy(np.stack([targets.text, targets.kernels[0]]))
        labels.append((reduced(drawn[None], size)[0] >= 0.5)[:, kept])
        scores.append(probabilities[:, kept])
    scores, labels = torch.cat(scores, dim=1), torch.cat(labels, dim=1)
    names = ("text", "kernel")
    return {name: float(binary_average_precision(*pair)) for name, *pair in zip(names, scores, labels.int())}


def main(args: argparse.Namespace) -> None:
    write_json(
        args.file, measure(load_experiment(args.config, args.cfg_options), args.checkpoint, args.precision, args.device)
    )


if __name__ == "__main__":
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--precision", choices=list(PRECISIONS), default="32")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    arguments = parser.parse_args()
    sys.exit(exit_code(lambda: main(arguments)))
