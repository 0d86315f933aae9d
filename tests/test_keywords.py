"""Arguments by name, of classes that pass on what they do not name."""

from __future__ import annotations

import pytest

from keywords import keywords


class Base:
    def __init__(self, student, loss, *, temperature: float = 2.0) -> None: ...


class Passing(Base):
    def __init__(self, *core, weight: int | None = None, **more) -> None: ...


class Overriding(Passing):
    def __init__(self, weight: str = "a", **more) -> None: ...


class Closed(Passing):
    def __init__(self, *core, only: bool = False) -> None: ...


class Silent(Passing):
    """Its constructor is that of Passing."""


def function(first, /, second, *rest, third=3, **more): ...


@pytest.mark.parametrize(
    "kind, names",
    [
        (Base, {"student", "loss", "temperature"}),
        (Passing, {"student", "loss", "temperature", "weight"}),
        (Overriding, {"student", "loss", "temperature", "weight"}),
        (Silent, {"student", "loss", "temperature", "weight"}),
        (Closed, {"only"}),
        (function, {"second", "third"}),
        (object, set()),
    ],
)
def test_what_can_be_given_by_name(kind, names):
    assert keywords(kind).keys() == names


def test_the_nearest_class_decides_and_annotations_are_types():
    assert keywords(Passing)["weight"].annotation == int | None
    assert keywords(Overriding)["weight"].annotation is str and keywords(Overriding)["weight"].default == "a"
    assert keywords(Overriding)["temperature"].annotation is float
