"""A training step on a GPU must not wait for the host: operators whose result has a size, or a value, that it reads."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from text_networks import random_batch, small_model
from torch.utils._python_dispatch import TorchDispatchMode

from distillation import KernelMaskDistiller, MutualDistiller, ResponseDistiller, SoftMapDistiller, Supervised
from models import PANLoss, build_detector, stream

WAITS = {
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "_unique2",
    "unique_dim",
    "repeat_interleave",
    "equal",
    "is_nonzero",
}


class Waits(TorchDispatchMode):
    """Counts the operators that make the host wait, indexing with a mask among them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        name = operator.overloadpacket.__name__
        masks = name.startswith("index") and len(args) > 1 and isinstance(args[1], (list, tuple)) and args[1]
        if name in WAITS or any(index is not None and index.dtype == torch.bool for index in masks or ()):
            self.found[name] += 1
        return operator(*args, **(kwargs or {}))


def waits_of_a_step(learner: torch.nn.Module) -> Counter[str]:
    batch = random_batch()
    with Waits() as waits:
        sum(learner(batch).losses.values()).backward()
    return waits.found


def pair() -> list[torch.nn.Module]:
    torch.manual_seed(0)
    return [build_detector(small_model()), build_detector(small_model(adapter=False, depth=50))]


@pytest.mark.parametrize(
    "method", ["alone", "embedding 2", "kkd", "regions", "soft maps", "soft features", "response", "mutual"]
)
def test_a_step_never_waits_for_a_size(method, monkeypatch):
    student, teacher = pair()
    learner = {
        "alone": lambda: Supervised(student, PANLoss(dense_weight=1.0)),
        "embedding 2": lambda: Supervised(student, PANLoss(embedding_version=2)),
        "kkd": lambda: KernelMaskDistiller(student, PANLoss(), [teacher]),
        "regions": lambda: KernelMaskDistiller(student, PANLoss(), [teacher], mask="regions"),
        "soft maps": lambda: SoftMapDistiller(student, PANLoss(), [teacher]),
        "soft features": lambda: SoftMapDistiller(student, PANLoss(), [teacher], feature_weight=1.0),
        "response": lambda: ResponseDistiller(student, PANLoss(), [teacher]),
        "mutual": lambda: MutualDistiller(student, PANLoss(), [teacher], peer=pair()[0]),
    }[method]().train()
    monkeypatch.setattr(stream, "stalls", lambda tensor: True)
    assert waits_of_a_step(learner) == Counter()


def test_waits_are_seen(monkeypatch):
    """As the step of a CPU has them, and what else makes the host wait."""
    student, teacher = pair()
    found = waits_of_a_step(KernelMaskDistiller(student, PANLoss(embedding_version=2), [teacher]).train())
    assert found["nonzero"] >= 3 and found["_local_scalar_dense"] >= 1
    x = torch.arange(4.0)
    with Waits() as waits:
        x[x > 1] + x.max().item() + float(x.sum())
        torch.unique(x)
        torch.repeat_interleave(x, torch.tensor([1, 2, 1, 1]))
        x[x > 2] = 0
    assert waits.found["_local_scalar_dense"] == 2 and waits.found["repeat_interleave"] == 1
    assert waits.found["_unique2"] == 1 and waits.found["index"] == 1
    assert waits.found["index_put_"] == 1
