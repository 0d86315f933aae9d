"""Callbacks of training: measurement on the test split, checkpoints, signals, progress."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar, WeightAveraging
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from engine.files import write_tensors
from engine.settings import TrainSettings
from engine.training.checkpoint import save_checkpoint
from engine.training.module import TrainingModule
from errors import restore_signals
from files import write_aside

logger = logging.getLogger(__name__)

RESUME_FILE = "resume.ckpt"


class Validation:
    """Measures the student on the test split every `interval` epochs and after the last one.

    Args:
        measure: takes (trainer, detector), returns the summary of the evaluation protocol. None: no measurements.
        interval: epochs between measurements; 0 for the last epoch only.
        scores: names of the summary's scores to keep.
    """

    def __init__(
        self, measure: Callable[[L.Trainer, Any], Mapping[str, Any]] | None, interval: int, scores: Sequence[str]
    ) -> None:
        self.measure = measure
        self.interval = interval
        self.scores = scores

    def __call__(self, trainer: L.Trainer, module: L.LightningModule) -> dict[str, float]:
        """Returns the scores of the epoch that ends; empty if no measurement is due."""
        epoch = trainer.current_epoch + 1
        due = self.interval and epoch % self.interval == 0
        if self.measure is None or not (due or epoch == trainer.max_epochs):
            return {}
        student = module.learner.student
        student.eval()
        if trainer.world_size > 1:  # running statistics differ between processes; the first one's are saved
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

    The student is saved before it is measured, too, so that an unreadable test image does not lose the trained weights.
    A run that is resumed after that repeats the epoch.

    Args:
        folder: folder of checkpoint_last.pth.tar, checkpoint_best.pth.tar, checkpoint_Nep.pth.tar and resume.ckpt.
        identity: identity of the run (engine.training.resume); its config and classes are stored in every checkpoint.
        settings: the train_cfg section.
        validation: measures the scores, which are stored in the checkpoints.
        headline: name of the score that decides which epoch is the best.
        average: holds the weights to save and measure; None for those that are trained.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, Any],
        settings: TrainSettings,
        validation: Validation,
        headline: str,
        average: WeightAverage | None = None,
    ) -> None:
        self.folder = folder
        self.identity = dict(identity)
        self.settings = settings
        self.validation = validation
        self.headline = headline
        self.average = average
        self.best = -1.0
        config = self.identity["config"]
        rules = {key: value for key, value in config.get("test_cfg", {}).items() if key != "result_path"}
        self.measured = [config["data"].get("root"), config["data"].get("test"), rules]

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "measured": self.measured}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores the best score, unless it was measured on other data or in another way."""
        if state.get("measured", self.measured) == self.measured:
            self.best = state["best"]
        elif state["best"] >= 0:
            logger.warning("scores are measured differently from here on: the next one is the best so far")

    def on_save_checkpoint(self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["run"] = self.identity | {"epochs": trainer.current_epoch + 1}

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        module.check_weights()
        with self.average.applied(trainer, module) if self.average else nullcontext():
            self._save_and_measure(trainer, module)
        if module.epoch_is_done:
            trainer.save_checkpoint(self.folder / RESUME_FILE, weights_only=False)

    def _save_and_measure(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        whole = module.epoch_is_done
        names = ["checkpoint_last.pth.tar"]
        if whole and epoch % self.settings.save_interval == 0:
            names.append(f"checkpoint_{epoch}ep.pth.tar")
        config, classes = self.identity["config"], self.identity["classes"]

        def save(scores: Mapping[str, float]) -> None:
            if trainer.is_global_zero:
                state = module.learner.student_state_dict()
                for name in names:
                    save_checkpoint(self.folder / name, state, config, epoch - (not whole), scores, classes)

        save({})
        if not whole:
            return
        if scores := self.validation(trainer, module):
            score = scores.get(self.headline, -1.0)
            if score >= self.best:  # of equal scores the later one, which was trained longer
                self.best = score
                names.append("checkpoint_best.pth.tar")
            save(scores)


class WeightAverage(WeightAveraging):
    """Exponential moving average of weights and batch statistics (Polyak averaging, as in timm and torchvision).

    A decay below that of `settings.ema` in the first steps forgets the initial weights, which a short training would
    not get rid of.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(multi_avg_fn=self._update)
        self.decay = decay

    def setup(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        self._device = trainer.strategy.root_device  # the module itself comes there later
        super().setup(trainer, module, stage)

    @contextmanager
    def applied(self, trainer: L.Trainer, module: L.LightningModule) -> Iterator[None]:
        """Context in which the module has the averaged weights."""
        self.on_validation_epoch_start(trainer, module)
        try:
            yield
        finally:
            self.on_validation_epoch_end(trainer, module)

    def _update(self, averages: Sequence[Tensor], current: Sequence[Tensor], steps: Tensor) -> None:
        decay = min(self.decay, (1 + int(steps)) / (10 + int(steps)))
        pairs = [(a, b) for a, b in zip(averages, current) if a.data_ptr() != b.data_ptr()]  # copies share teachers
        averages, current = [a for a, _ in pairs], [b for _, b in pairs]
        if averages and averages[0].is_floating_point():
            torch._foreach_lerp_(averages, current, 1 - decay)
        elif averages:  # numbers of batches
            torch._foreach_copy_(averages, current)


class Profile(Callback):
    """Profiles the batches FIRST to LAST of a run: a table of what took longest, and a trace that Perfetto shows.

    Args:
        path: JSON file of the trace; of the first process.
    """

    FIRST, LAST, ROWS = 10, 20, 10

    def __init__(self, path: Path) -> None:
        self.path = path
        self.batches = 0
        self.profiler: torch.profiler.profile | None = None

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        if trainer.is_global_zero and self.batches == self.FIRST:
            self.profiler = torch.profiler.profile()
            self.profiler.start()

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        self.batches += 1
        if self.batches == self.LAST:
            self._finish()

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._finish()
        if self.batches <= self.FIRST and trainer.is_global_zero:
            logger.warning("--profile: the run ended before batch %d, nothing was profiled", self.FIRST)

    def _finish(self) -> None:
        if self.profiler is None:
            return
        self.profiler.stop()
        with write_aside(self.path) as aside:
            self.profiler.export_chrome_trace(str(aside))
        order = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        rows = self.profiler.key_averages().table(sort_by=order, row_limit=self.ROWS, max_name_column_width=40)
        print(f"{rows}\nbatches {self.FIRST} to {self.batches}, trace: {self.path}", flush=True)
        self.profiler = None


class WholeFiles(TorchCheckpointIO):
    """Writes the file to resume from directly to its folder; the training library would use $TMPDIR first."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        write_tensors(path, checkpoint)


class Signals(Callback):
    """Keeps the handlers of `errors.end_on_signals` of Ctrl-C and SIGTERM; the library would finish a batch."""

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        restore_signals()


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
    """Progress bar of the training library, with the time left of the epoch and of the whole run."""

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
        self.first = self.module.step
        self.start = time.monotonic()

    @property
    def module(self) -> TrainingModule:
        return self.trainer.lightning_module

    def eta(self) -> str:
        trainer, step = self.trainer, self.module.step
        if step == self.first:
            return "?"
        left = trainer.max_epochs * self.module.steps_per_epoch - step
        left = min(left, self.module.steps_left)
        return str(timedelta(seconds=round((time.monotonic() - self.start) / (step - self.first) * left)))


def progress() -> Callback:
    """A progress bar on a terminal, lines otherwise."""
    return ProgressBar(leave=True) if sys.stderr.isatty() else ProgressLines()
