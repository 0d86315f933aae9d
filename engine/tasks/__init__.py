"""The tasks by the name that a detector class gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.tasks.base import Task
from engine.tasks.objects import ObjectTask
from engine.tasks.text import TextTask
from models import MODELS

TASKS: dict[str, Task] = {"text": TextTask(), "objects": ObjectTask()}


def task_of(cfg: Mapping[str, Any]) -> Task:
    """The task of a config: its model's class says which."""
    return TASKS[MODELS.get(cfg["model"]["type"]).task]
