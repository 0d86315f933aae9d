"""A learner as a module of the training library: sum of losses, optimiser, schedule, logging."""

from __future__ import annotations

import logging
import math
from itertools import product
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from distillation import Learner
from engine.settings import TrainSettings
from engine.training.schedule import cosine, multistep, poly, warm_up
from errors import InputError

logger = logging.getLogger(__name__)

REMEDY = "training stopped, the checkpoints are those of the epoch before; try a lower train_cfg.lr or --precision 32"
_STATES = {"state_dict", "current_model_state"}  # with an average of weights, state_dict is the average


class TrainingModule(L.LightningModule):
    """Trains a learner by minimising the sum of its losses.

    Progress is counted in whole epochs (or parts of one, train_cfg.parts) and in batches of the current one,
    so that a run may be resumed with other batches, images or processes.

    Args:
        learner: module that turns a batch into losses.
        settings: the train_cfg section.
        steps_per_epoch: optimiser steps in one epoch, or part of one, of this process.
        max_steps: optimiser steps after which to stop, those before a resumption not counted; -1 for no limit. (The
            training library has such an option, which counts them, and with which it does not count epochs.)
    """

    def __init__(self, learner: Learner, settings: TrainSettings, steps_per_epoch: int, max_steps: int = -1) -> None:
        super().__init__()
        self.learner = learner.to(memory_format=torch.channels_last)  # faster convolutions on CPU and GPU
        self.settings = settings
        self.steps_per_epoch = steps_per_epoch
        self.batches_done = 0  # of the current epoch
        self.last_batch: Any = None
        self.max_steps = max_steps
        self._first_step = 0

    @property
    def step(self) -> int:
        """Optimiser steps done, counted as if the whole run had used the current config."""
        return self.current_epoch * self.steps_per_epoch + self.batches_done // self.settings.grad_accumulation

    @property
    def steps_left(self) -> float:
        """Optimiser steps until `max_steps`."""
        return math.inf if self.max_steps < 0 else self.max_steps - (self.trainer.global_step - self._first_step)

    @property
    def epoch_is_done(self) -> bool:
        """True if the current epoch is complete; --max-steps can end a run within one."""
        return self.batches_done >= self.trainer.num_training_batches

    def on_train_start(self) -> None:
        epochs = self.all_gather(torch.tensor(self.current_epoch)).reshape(-1)
        if (epochs != epochs[0]).any():
            raise InputError(
                f"the machines resume after different epochs ({epochs.tolist()}): they see different files"
            )
        self._first_step = self.trainer.global_step
        optimizer = self.optimizers().optimizer
        for group, options in zip(optimizer.param_groups, self.parameter_groups()):
            del options["params"]  # a resumed checkpoint holds the options of the earlier run
            group |= options | {key: value for key, value in optimizer.defaults.items() if key == "fused"}

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.batches_done = batch_idx
        for group in self.optimizers().param_groups:
            group["lr"] = self.lr * group["lr_factor"]
        self.learner.strength = warm_up(self.step, self.settings.distillation_warmup, start=0.0)
        # The random state is a function of seed, epoch, batch and process: a resumed run draws the same numbers.
        key = np.random.SeedSequence([self.settings.seed, self.current_epoch, batch_idx, self.global_rank])
        L.seed_everything(int(key.generate_state(1)[0]), verbose=False)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        batch.images = batch.images.contiguous(memory_format=torch.channels_last)
        self.last_batch = batch
        result = self.learner(batch)
        total = torch.stack(list(result.losses.values())).sum()
        if not torch.isfinite(total):
            parts = ", ".join(f"{name} {value.item():.4g}" for name, value in result.losses.items())
            raise InputError(
                f"step {self.step}: the loss is not finite ({parts}) on images {', '.join(batch.names)}; {REMEDY}"
            )
        values = {"loss": total.detach()}
        values |= {f"loss/{name}": value.detach() for name, value in result.losses.items()}
        values |= {f"metric/{name}": value for name, value in result.metrics.items()}
        self.log_dict(values, on_step=True, on_epoch=False, prog_bar=True, batch_size=len(batch.names))
        self.log("lr", self.lr, on_step=True)
        return total * self._group_weight(batch_idx)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.batches_done = batch_idx + 1
        if self.steps_left <= 0:
            self.trainer.should_stop = True

    def _group_weight(self, batch_idx: int) -> float:
        """The training library divides by grad_accumulation; the last group of an epoch may be smaller."""
        size = self.settings.grad_accumulation
        return size / min(size, self.trainer.num_training_batches - batch_idx // size * size)

    def check_weights(self) -> None:
        """Tests the weights on the last batch, before they replace the saved ones of the epoch before.

        Raises:
            InputError: a weight or a loss is not finite.
        """
        buffers = {name: buffer.clone() for name, buffer in self.learner.named_buffers()}
        with torch.no_grad(), self.trainer.precision_plugin.train_step_context():
            losses = self.learner(self.last_batch).losses
        bad = [f"loss {name}" for name, value in losses.items() if not torch.isfinite(value).all()]
        state = self.learner.state_dict()  # with the batch statistics of this test, in which weights of 1e30 show
        bad += [name for name, value in state.items() if not torch.isfinite(value).all()]
        with torch.no_grad():
            for name, buffer in self.learner.named_buffers():
                buffer.copy_(buffers[name])
        if bad:
            raise InputError(f"epoch {self.current_epoch + 1}: {bad[0]} is not finite after the last step; {REMEDY}")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        kind = getattr(torch.optim, self.settings.optimizer)
        fused = {} if kind is torch.optim.SGD else {"fused": self.settings.clip_grad is None}
        return kind(self.parameter_groups(), lr=self.settings.lr, **fused)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameters with options that are constant during a run, and may be changed when it is resumed."""
        s = self.settings
        momentum = {"momentum": s.momentum} if s.optimizer == "SGD" else {}
        parameters = {name: p for name, p in self.learner.named_parameters() if p.requires_grad}
        layer_norms = [module for module in self.learner.modules() if isinstance(module, nn.LayerNorm)]
        of_planes = {id(p) for module in layer_norms for p in module.parameters()}  # have more than one dimension
        kinds = {
            name: (".backbone." in name and ".backbone.fpn." not in name, p.ndim < 2 or id(p) in of_planes)
            for name, p in parameters.items()
        }
        groups = []
        for backbone, norms in product((True, False), repeat=2):
            own = [p for name, p in parameters.items() if kinds[name] == (backbone, norms)]
            decay = 0.0 if norms and not s.decay_norms else s.weight_decay
            factor = s.backbone_lr_factor if backbone else 1.0
            groups.append({"params": own, "weight_decay": decay, "lr_factor": factor, **momentum})
        return groups

    @property
    def lr(self) -> float:
        """Learning rate of the next step, without `backbone_lr_factor`."""
        return self.settings.lr * self.lr_factor(self.step)

    def lr_factor(self, step: int) -> float:
        """Factor on the initial learning rate after `step` optimiser steps."""
        steps = self.settings.parts * self.steps_per_epoch
        if isinstance(self.settings.schedule, str):
            factor = {"polylr": poly, "cosine": cosine}[self.settings.schedule](step, self.settings.epoch * steps)
        else:
            factor = multistep(step, [epoch * steps for epoch in self.settings.schedule])
        return factor * warm_up(step, self.settings.warmup)

    # Teachers come from their own checkpoints; the file to resume from holds what training changes.
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        for key in _STATES & checkpoint.keys():
            checkpoint[key] = {k: v for k, v in checkpoint[key].items() if not k.startswith("learner.teachers.")}
        checkpoint["precision"] = self._precision()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        own = self.state_dict()
        for key in _STATES & checkpoint.keys():
            checkpoint[key] |= {k: v for k, v in own.items() if k.startswith("learner.teachers.")}
        before, now = checkpoint.get("precision"), self._precision()
        if before not in (None, now):
            logger.warning("resumed with another precision than it was started with: was %s, is %s", before, now)

    def _precision(self) -> str:
        teachers = getattr(self.learner, "teacher_dtype", None)
        return str(self.trainer.precision) + (f", teachers {teachers}" if teachers else "")
