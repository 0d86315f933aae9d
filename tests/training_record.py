"""Watches real training runs: what optimisers did, what networks computed in, what steps began with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from distillation import Learner
from models import TextDetector


class Step(NamedTuple):
    """What an optimiser did: all its parameters before and after, with their options and the gradients it was given."""

    options: list[dict[str, Any]]
    before: list[torch.Tensor]
    gradients: list[torch.Tensor]
    after: list[torch.Tensor]


@contextmanager
def recorded() -> Iterator[list[Step]]:
    """The steps of every optimiser while the block runs."""
    steps, before = [], []

    def parameters(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
        return [p for group in optimizer.param_groups for p in group["params"]]

    def start(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        before[:] = [p.detach().clone() for p in parameters(optimizer)]

    def end(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        given = parameters(optimizer)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in given]
        options = [group for group in optimizer.param_groups for _ in group["params"]]
        options = [{key: value for key, value in group.items() if key != "params"} for group in options]
        steps.append(Step(options, list(before), gradients, [p.detach().clone() for p in given]))

    hooks = [register_optimizer_step_pre_hook(start), register_optimizer_step_post_hook(end)]
    try:
        yield steps
    finally:
        for hook in hooks:
            hook.remove()


def rates(steps: list[Step]) -> list[float]:
    """Of every step, the learning rate of the last parameter, which is none of the backbone's."""
    return [step.options[-1]["lr"] for step in steps]


def norm(tensors: list[torch.Tensor]) -> float:
    return float(torch.stack([t.double().norm() for t in tensors]).norm())


@contextmanager
def observed() -> Iterator[list[tuple[str, bool, torch.dtype, int]]]:
    """Of every forward pass of a convolution or a text detector: its class, whether it trains, dtype and images."""
    seen = []

    def note(module: torch.nn.Module, inputs: tuple, output: Any) -> None:
        if isinstance(module, (torch.nn.Conv2d, TextDetector)):
            dtype = output.dtype if isinstance(output, torch.Tensor) else torch.float32
            seen.append((type(module).__name__, module.training, dtype, len(inputs[0])))

    hook = torch.nn.modules.module.register_module_forward_hook(note)
    try:
        yield seen
    finally:
        hook.remove()


class Draw(NamedTuple):
    """What a training step begins with: its random state, and its images."""

    number: float
    names: list[str]


def note_draws(draws: Callable[[Draw], object]) -> Any:
    """Hands what every training step from now on begins with to `draws`; returns a handle that ends it."""

    def note(module: torch.nn.Module, inputs: tuple) -> None:
        if isinstance(module, Learner) and torch.is_grad_enabled():
            draws(Draw(float(torch.rand(())), inputs[0].names))

    return torch.nn.modules.module.register_module_forward_pre_hook(note)
