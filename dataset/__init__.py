"""From files on disk to augmented samples and typed batches.

A name is imported when it is first asked for: reading and scaling images needs no torch.
"""

from importlib import import_module
from typing import Any

_MODULES = {
    "images": ("UnreadableImage", "normalise", "read_image"),
    "objects.dataset": ("CocoDataset", "build_object_dataset", "object_split", "read_object_split"),
    "objects.records": ("ObjectBatch", "ObjectRecord"),
    "objects.transforms": ("ObjectTestTransform", "ObjectTrainTransform", "collate_objects"),
    "sampler": ("EpochSampler",),
    "split": ("Split",),
    "text.dataset": ("PARSERS", "TextDataset", "build_dataset", "read_text_split", "text_split"),
    "text.records": ("TextBatch", "TextRecord"),
    "text.samples": ("TestSample", "TestTransform", "TrainTransform", "collate"),
    "text.transforms": ("resize_for_test",),
    "text.unlabelled": ("MixedBatches", "MixedDataset", "Pictures"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dataset' has no attribute '{name}'")
    return getattr(import_module(f"dataset.{_HOMES[name]}"), name)
