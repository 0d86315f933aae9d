"""What happens at the end of an epoch: measurement on the test split, checkpoints, a line of progress."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar

from engine.checkpoint import save_checkpoint
from engine.files import write_aside
from engine.settings import TrainSettings

RESUME_FILE = "resume.ckpt"


class Validation:
    """Measures the student on the test split every `interval` epochs and after the last one.

    Args:
        measure: takes (trainer, detector), returns the summary of the evaluation protocol. None: no measurements.
        interval: in epochs; 0 for the last epoch only.
        scores: what of the summary is kept.
    """

    def __init__(
        self, measure: Callable[[L.Trainer, Any], Mapping[str, Any]] | None, interval: int, scores: Sequence[str]
    ) -> None:
        self.measure = measure
        self.interval = interval
        self.scores = scores

    def __call__(self, trainer: L.Trainer, module: L.LightningModule) -> dict[str, float]:
        """The scores of the epoch that ends; none where no measurement is due."""
        epoch = trainer.current_epoch + 1
        due = self.interval and epoch % self.interval == 0
        if self.measure is None or not (due or epoch == trainer.max_epochs):
            return {}
        student = module.learner.student
        student.eval()
        if trainer.world_size > 1:  # running statistics differ between processes; what is saved are the first one's
            for buffer in student.buffers():
                torch.distributed.broadcast(buffer, 0)
        summary = self.measure(trainer, student)
        module.learner.train()
        scores = {key: float(summary[key]) for key in self.scores if summary[key] is not None}
        module.log_dict({f"val/{key}": value for key, value in scores.items()}, rank_zero_only=True)
        if trainer.is_global_zero:
            line = ", ".join(f"{key} {value:.4f}" for key, value in scores.items())
            print(f"epoch {epoch}: test split {line} ({summary['protocol']}, {summary['variant']})", flush=True)
        return scores


class Checkpoints(Callback):
    """Saves the student alone (last, best, every few epochs) and the file to resume from, at the end of every epoch.

    The student is saved before it is measured, too: a test image that cannot be read does not cost what was trained.
    A run that is resumed after that repeats the epoch.

    Args:
        folder: where checkpoint_last.pth.tar, checkpoint_best.pth.tar, checkpoint_Nep.pth.tar and resume.ckpt go.
        config: of the run, stored in every checkpoint.
        settings: the train_cfg section.
        validation: whose scores go into the checkpoints and decide which epoch is the best.
        headline: the score that does.
        classes: stored in every checkpoint of an object detector.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        settings: TrainSettings,
        validation: Validation,
        headline: str,
        classes: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.config = config
        self.settings = settings
        self.validation = validation
        self.headline = headline
        self.classes = classes
        self.best = -1.0

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = state["best"]

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        whole = trainer.global_step >= epoch * module.steps_per_epoch  # --max-steps can end a run within an epoch
        names = ["checkpoint_last.pth.tar"]
        if whole and epoch % self.settings.save_interval == 0:
            names.append(f"checkpoint_{epoch}ep.pth.tar")
        first = trainer.is_global_zero

        def save(scores: Mapping[str, float]) -> None:
            if first:
                state = module.learner.student_state_dict()
                for name in names:
                    save_checkpoint(self.folder / name, state, self.config, epoch - (not whole), scores, self.classes)

        save({})
        if not whole:
            return
        if scores := self.validation(trainer, module):
            if scores.get(self.headline, -1.0) > self.best:
                self.best = scores[self.headline]
                names.append("checkpoint_best.pth.tar")
            save(scores)
        # Every process takes part in saving; the first one writes.
        with write_aside(self.folder / RESUME_FILE) if first else nullcontext(os.devnull) as path:
            trainer.save_checkpoint(path, weights_only=False)


class ProgressLines(Callback):
    """A line every few seconds, for logs and pipes: epoch, step, losses, time left."""

    def __init__(self, every: float = 15.0) -> None:
        self.every = every

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.clock = RunClock(trainer)
        self.last = -self.every

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        now = time.monotonic()
        if not trainer.is_global_zero or now - self.last < self.every:
            return
        self.last = now
        losses = {k.split("/")[-1]: float(v) for k, v in trainer.progress_bar_metrics.items()}
        parts = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
        print(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs} {parts} eta {self.clock.eta()}",
            flush=True,
        )


class ProgressBar(RichProgressBar):
    """The training library's bar, with the time left of the whole run beside that of the epoch."""

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.clock = RunClock(trainer)
        super().on_train_start(trainer, module)

    def get_metrics(self, trainer: L.Trainer, module: L.LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, module)
        metrics.pop("v_num", None)
        return {**{k.split("/")[-1]: v for k, v in metrics.items()}, "eta": self.clock.eta()}


class RunClock:
    """Estimates the time left of a run from the steps done since it started."""

    def __init__(self, trainer: L.Trainer) -> None:
        self.trainer = trainer
        self.first = trainer.global_step
        self.start = time.monotonic()

    def eta(self) -> str:
        done = self.trainer.global_step - self.first
        left = self.trainer.estimated_stepping_batches - self.trainer.global_step
        if done == 0:
            return "?"
        return str(timedelta(seconds=round((time.monotonic() - self.start) / done * left)))


def progress() -> Callback:
    """A bar for people, lines for everything else."""
    return ProgressBar(leave=True) if sys.stderr.isatty() else ProgressLines()
