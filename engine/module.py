"""A learner as the training library wants it: sum of losses, optimiser, schedule, logging."""

from __future__ import annotations

import logging
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from distillation import Learner
from engine.schedule import multistep, poly, warm_up
from engine.settings import TrainSettings
from errors import InputError

logger = logging.getLogger(__name__)


class TrainingModule(L.LightningModule):
    """Trains a learner by minimising the sum of its losses.

    Args:
        learner: what turns a batch into losses.
        settings: the train_cfg section.
        steps_per_epoch: optimiser steps in one epoch, or part of one (train_cfg.parts), of this process.
    """

    def __init__(self, learner: Learner, settings: TrainSettings, steps_per_epoch: int) -> None:
        super().__init__()
        self.learner = learner.to(memory_format=torch.channels_last)  # convolutions are faster so, on CPU and GPU
        self.settings = settings
        self.steps_per_epoch = steps_per_epoch

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # The random state is a function of seed, place in the run and process: a resumed run draws the same numbers.
        key = np.random.SeedSequence([self.settings.seed, self.current_epoch, batch_idx, self.global_rank])
        L.seed_everything(int(key.generate_state(1)[0]), verbose=False)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        batch.images = batch.images.contiguous(memory_format=torch.channels_last)
        result = self.learner(batch)
        total = torch.stack(list(result.losses.values())).sum()
        if not torch.isfinite(total):
            parts = ", ".join(f"{name} {value.item():.4g}" for name, value in result.losses.items())
            raise InputError(
                f"step {self.global_step}: the loss is not finite ({parts}) on images {', '.join(batch.names)}; "
                "training stopped, the last checkpoint is whole; try a lower train_cfg.lr or --precision 32"
            )
        values = {"loss": total.detach()}
        values |= {f"loss/{name}": value.detach() for name, value in result.losses.items()}
        values |= {f"metric/{name}": value for name, value in result.metrics.items()}
        self.log_dict(values, on_step=True, on_epoch=False, prog_bar=True, batch_size=len(batch.names))
        self.log("lr", self.optimizers().param_groups[0]["lr"], on_step=True)
        return total

    def configure_optimizers(self) -> dict[str, Any]:
        s = self.settings
        parameters = [p for p in self.learner.parameters() if p.requires_grad]
        if s.optimizer == "Adam":
            optimizer = torch.optim.Adam(parameters, lr=s.lr, weight_decay=s.weight_decay, fused=s.clip_grad is None)
        else:
            optimizer = torch.optim.SGD(parameters, lr=s.lr, momentum=s.momentum, weight_decay=s.weight_decay)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self.lr_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def lr_factor(self, step: int) -> float:
        """Factor on the initial learning rate after `step` optimiser steps."""
        steps = self.settings.parts * self.steps_per_epoch
        if self.settings.schedule == "polylr":
            factor = poly(step, self.settings.epoch * steps)
        else:
            factor = multistep(step, [epoch * steps for epoch in self.settings.schedule])
        return factor * warm_up(step, self.settings.warmup)

    # Teachers come from their own checkpoints; the file to resume from holds what training changes.
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {k: v for k, v in state.items() if not k.startswith("learner.teachers.")}
        checkpoint["precision"] = self._precision()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        own = self.state_dict()
        checkpoint["state_dict"] |= {k: v for k, v in own.items() if k.startswith("learner.teachers.")}
        before, now = checkpoint.get("precision"), self._precision()
        if before not in (None, now):
            logger.warning("resumed with another precision than it was started with: was %s, is %s", before, now)

    def _precision(self) -> str:
        teachers = getattr(self.learner, "teacher_dtype", None)
        return str(self.trainer.precision) + (f", teachers {teachers}" if teachers else "")
