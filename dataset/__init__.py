"""From files on disk to augmented samples and typed batches."""

from dataset.images import UnreadableImage, normalise, read_image
from dataset.objects.dataset import CocoDataset, build_object_dataset, object_split, read_object_split
from dataset.objects.records import ObjectBatch, ObjectRecord
from dataset.objects.transforms import ObjectTestTransform, ObjectTrainTransform, collate_objects
from dataset.registry import PARSERS
from dataset.sampler import EpochSampler
from dataset.split import Split
from dataset.text.dataset import TextDataset, build_dataset, read_text_split, text_split
from dataset.text.records import TextBatch, TextRecord
from dataset.text.samples import TestSample, TestTransform, TrainTransform, collate
from dataset.text.transforms import resize_for_test

__all__ = [
    "PARSERS",
    "CocoDataset",
    "EpochSampler",
    "ObjectBatch",
    "ObjectRecord",
    "ObjectTestTransform",
    "ObjectTrainTransform",
    "Split",
    "TestSample",
    "TestTransform",
    "TextBatch",
    "TextDataset",
    "TextRecord",
    "TrainTransform",
    "UnreadableImage",
    "build_dataset",
    "build_object_dataset",
    "collate",
    "collate_objects",
    "normalise",
    "object_split",
    "read_image",
    "read_object_split",
    "read_text_split",
    "resize_for_test",
    "text_split",
]
