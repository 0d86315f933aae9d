"""One training run: builds learner, data and trainer from a config, and runs them."""

from __future__ import annotations

import argparse
import logging
import math
import signal
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import Dataset

from command_line import is_first
from distillation import Learner
from engine.cli import check_counts
from engine.compiling import compile_networks
from engine.experiment import Experiment
from engine.files import lock_folder, remove_leftovers
from engine.inference.evaluator import Evaluator
from engine.outputs import data_places
from engine.precision import DTYPES, PRECISIONS, check_precision, resolve_device
from engine.settings import TrainSettings
from engine.training.callbacks import (
    RESUME_FILE,
    Checkpoints,
    Profile,
    Signals,
    Validation,
    WeightAverage,
    WholeFiles,
    progress,
)
from engine.training.checkpoint import new_detector, warn_other_model
from engine.training.data import DataModule
from engine.training.module import TrainingModule
from engine.training.processes import processes_of
from engine.training.resume import identity, resume_point, start_anew
from engine.training.stages import centers_of
from engine.training.teachers import load_teacher
from files import check_output
from models import LOSSES, RCNN, TextDetector, current_names
from models.backbone.narrow import narrowed
from models.text.head import with_finer_maps
from models.weights import load_matching, read_checkpoint, state_dict_of

logger = logging.getLogger(__name__)

RESULTS = "val_results"  # in the folder of a run


def build_learner(cfg: Experiment, dataset: Dataset | None = None, resumed: bool = False) -> Learner:
    """The learner of an experiment: supervised, or the distiller with its trained teachers.

    Args:
        cfg: the experiment.
        dataset: the training split, which object detectors, teachers and class centres must fit; text needs none.
        resumed: without the weights to start from, whose files may be gone.
    """
    student = new_detector(cfg.model, pretrained=not resumed)
    cfg.task.check_student(student, cfg.data.train, dataset)
    if not resumed:
        _start_weights(student, cfg)
    loss = None if cfg.loss is None else LOSSES.build(cfg.loss)
    if cfg.distiller is None:
        return cfg.task.supervised(student, loss)
    kind, options = cfg.distiller.kind, dict(cfg.distiller.options)
    teachers = [load_teacher(cfg, number + 1, dataset) for number in range(len(cfg.distiller.teachers))]
    if "centers" in kind.given and options.get("use_centres", True):
        options["centers"] = centers_of(cfg, teachers, dataset)
    if "peer" in kind.given:
        options["peer"] = new_detector(cfg.model, pretrained=not resumed)
    return kind(student, loss, [teacher.network for teacher in teachers], **options)


def _start_weights(student: torch.nn.Module, cfg: Experiment) -> None:
    """Loads `train_cfg.pretrain`, and logs the initial weights of the student."""
    if pretrain := cfg.train_cfg.pretrain:
        content = read_checkpoint(pretrain)
        warn_other_model(cfg.model, content, pretrain, getattr(student, "classes", ()))
        state = with_finer_maps(narrowed(current_names(state_dict_of(content, pretrain)), student), student)
        load_matching(student, state, source=pretrain)
    elif not cfg.pretrained_backbone:
        logger.info("backbone: no ImageNet weights given (model.backbone.pretrained), starts from random ones")
    sizes = [(p.numel(), p.requires_grad) for p in student.parameters()]
    frozen, total = sum(size for size, trained in sizes if not trained), sum(size for size, _ in sizes)
    if frozen:
        logger.info("student: %.2f of %.2f million parameters are frozen", frozen / 1e6, total / 1e6)


def _warn_unreached(settings: TrainSettings, steps: int, distilled: bool) -> None:
    """Logs what is planned for later than the end, with this number of steps in an epoch or part of one."""
    total = settings.epoch * settings.parts * steps
    for name in ("warmup", *(["distillation_warmup"] if distilled else [])):
        if total and getattr(settings, name) >= total:
            logger.warning("train_cfg.%s=%d: the whole run has %d steps", name, getattr(settings, name), total)
    if not isinstance(settings.schedule, str) and all(epoch >= settings.epoch for epoch in settings.schedule):
        logger.warning("train_cfg.schedule=%s: the rate never falls in %d epochs", settings.schedule, settings.epoch)


def train(cfg: Experiment, args: argparse.Namespace, name: str, teacher_precision: str | None = None) -> Path:
    """Runs training as the command line asks.

    Args:
        cfg: the experiment.
        args: the options of engine.cli.
        name: name of the run; its files go to work_dirs/NAME unless --work-dir says otherwise.
        teacher_precision: precision of the teachers of a distillation; None for that of the student.

    Returns:
        The folder of the run.
    """
    device = resolve_device(args.device)
    check_precision(args.precision, device)
    if teacher_precision:
        check_precision(teacher_precision, device, "--teacher-precision")
    check_counts(args)
    processes = processes_of(args, device)
    logger.info("%s, precision %s", processes, args.precision)
    folder = Path(args.work_dir or Path("work_dirs") / name)
    task, settings = cfg.task, cfg.train_cfg
    L.seed_everything(settings.seed, verbose=False)
    data = DataModule(task, cfg.data, settings.seed, settings.parts, processes)
    steps = math.ceil(data.batches_per_epoch / settings.grad_accumulation)
    _warn_unreached(settings, steps, cfg.distiller is not None)
    learner = build_learner(cfg, data.dataset, resumed=args.resume and (folder / RESUME_FILE).is_file())
    if teacher_precision:
        learner.teacher_dtype = DTYPES[teacher_precision]
    compile_networks([n for n in learner.modules() if isinstance(n, (TextDetector, RCNN))], args.compile)
    module = TrainingModule(learner, settings, steps, args.max_steps)
    classes = getattr(data.dataset, "classes", ())
    run = identity(cfg, learner, len(data.dataset), processes.number, classes)
    validation = Validation(_measure(cfg, learner.student, args.precision, folder), settings.val_interval, task.scores)
    profiles = [Profile(Path(args.profile))] if args.profile else []
    if args.profile:
        check_output("--profile", args.profile, data_places(cfg.data, data.dataset), folder=False)
    check_output("--work-dir", folder, data_places(cfg.data, data.dataset, data.mixed and data.mixed.pictures))
    if validation.measure is not None:
        task.check_result_path("--work-dir", folder / RESULTS, ())
    average = None if settings.ema is None else WeightAverage(settings.ema)
    checkpoints = Checkpoints(folder, run, settings, validation, task.headline, average)
    with lock_folder(folder) if rank_zero_only.rank == 0 else nullcontext():
        resume = None
        if args.resume:
            resume, data.first_epoch = resume_point(folder, run, module, wait=processes.nodes > 1 and not is_first())
        else:
            start_anew(folder, cfg, processes.number)
        remove_leftovers(folder, "checkpoint_*", RESUME_FILE)
        csv_log = CSVLogger(folder, name="logs")
        trainer = L.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=processes.devices,
            num_nodes=processes.nodes,
            strategy="ddp" if processes.number > 1 else "auto",
            sync_batchnorm=args.sync_batchnorm,
            precision=PRECISIONS[args.precision],
            max_epochs=settings.epoch * settings.parts,
            gradient_clip_val=settings.clip_grad,
            accumulate_grad_batches=settings.grad_accumulation,
            logger=[csv_log, TensorBoardLogger(folder, name="logs", version=csv_log.version)],
            callbacks=[*([average] if average else []), checkpoints, progress(), Signals(), *profiles],
            plugins=[WholeFiles()],
            log_every_n_steps=min(10, steps),
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=sys.stderr.isatty(),
        )
        passes = f"{steps * settings.parts} steps an epoch, {settings.epoch} epochs"
        parts = f" in {settings.parts} parts each" if settings.parts > 1 else ""
        logger.info("%s: %d images, %s%s", folder, len(data.dataset), passes, parts)
        try:
            trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
        except BaseException as error:
            if isinstance(error, OSError) and not error.filename:  # raised by a logger
                error.filename = str(folder)
            if processes.devices > 1 and trainer.strategy.launcher:  # else the other processes wait for this one
                trainer.strategy.launcher.kill(getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows has no SIGKILL
            raise
    for issues in [data.dataset.issues, *([data.mixed.pictures.issues] if data.mixed else [])]:
        for line in issues.summary():
            logger.warning("%s", line)
    logger.info("done: %s", folder / "checkpoint_last.pth.tar")
    return folder


def _measure(cfg: Experiment, student: torch.nn.Module, precision: str, folder: Path) -> Any:
    """A function that measures a detector on the test split, each process taking its share of the images.

    None for a config without a test split.
    """
    if cfg.data.test is None:
        logger.info("no data.test: nothing is measured during training")
        return None
    task, settings = cfg.task, cfg.test_cfg
    dataset = task.test_set(cfg.data.test, settings)
    task.check_labels(student, dataset, settings)

    def measure(trainer: L.Trainer, detector: torch.nn.Module) -> Mapping[str, Any]:
        own = range(trainer.global_rank, len(dataset), trainer.world_size)
        predictor = Evaluator(detector, settings, trainer.strategy.root_device, precision)
        found = predictor.predict(dataset, own)
        parts = [found]
        if trainer.world_size > 1:
            parts = [None] * trainer.world_size
            torch.distributed.all_gather_object(parts, found)
        results = {key: value for part in parts for key, value in part.items()}
        if trainer.is_global_zero and not task.count(results):
            print(task.highest(predictor, dataset))
        summary = predictor.evaluate(dataset, results, folder / RESULTS) if trainer.is_global_zero else None
        return trainer.strategy.broadcast(summary)

    return measure
