"""Comparison of `model` sections of configs by the network that they describe, defaults included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from keywords import keywords
from models.registry import MODELS

# Options that only training needs, options that follow from other parts, and the option that turns the prediction of
# masks off.
_WITHOUT_MEANING = {
    "pretrained", "recompute", "freeze_norm", "frozen_stages", "samples", "positive_iou", "pre_nms_train",
    "post_nms_train", "predict_masks", "in_channels",
}  # fmt: skip
# Options that may change after training: the number of boxes considered, and the selection of those returned.
_ADJUSTABLE = {"score_thresh", "nms_thresh", "detections", "pre_nms_test", "post_nms_test"}
_DEFAULT_PARTS = {"rpn": {"type": "RPN"}}  # of RCNN, see build_rcnn


class Difference(NamedTuple):
    """A key in which two `model` sections differ.

    Attributes:
        key: its path, such as 'model.neck.version'.
        first, second: the values; for a part, its type.
        adjustable: the weights fit both values; only the selection of detections differs.
    """

    key: str
    first: Any
    second: Any
    adjustable: bool


def model_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """The keys in which two `model` sections differ in meaning, ordered with those that change the computation first.

    Keys that are left out have the defaults of their class. Keys that only training reads are passed over.
    """
    found = _compare(meaning(first), meaning(second), "model")
    return sorted(found, key=lambda difference: difference.adjustable)


def meaning(part: Any, training: bool = False) -> Any:
    """Comparable form of a section or value: with all defaults, without options irrelevant to the network.

    Args:
        training: keep the options that are relevant to training alone.
    """
    if isinstance(part, (list, tuple)):
        return [meaning(value, training) for value in part]
    if not isinstance(part, Mapping):
        return part
    values = {**_defaults(part.get("type")), **part}
    if values.get("type") in MODELS.module_dict:
        values["type"] = MODELS.get(values["type"]).__name__  # some have an older alias
    if isinstance(values.get("name"), str):  # in timm's names the part after the dot is the source of the weights
        values["name"] = values["name"].partition(".")[0]
    without = {"in_channels"} if training else _WITHOUT_MEANING
    return {key: meaning(value, training) for key, value in values.items() if key not in without}


def _defaults(name: Any) -> dict[str, Any]:
    if name not in MODELS.module_dict:
        return {}
    parameters = keywords(MODELS.get(name))
    parts = {key: part for key, part in _DEFAULT_PARTS.items() if key in parameters}
    return parts | {key: p.default for key, p in parameters.items() if p.default is not p.empty}


def _compare(first: Any, second: Any, path: str) -> Iterator[Difference]:
    same_kind = isinstance(first, Mapping) and isinstance(second, Mapping) and first.get("type") == second.get("type")
    if same_kind:
        for key in dict.fromkeys([*first, *second]):
            yield from _compare(first.get(key), second.get(key), f"{path}.{key}")
    elif first != second:
        adjustable = path.rpartition(".")[2] in _ADJUSTABLE
        yield Difference(path, _shown(first), _shown(second), adjustable)


def _shown(value: Any) -> Any:
    return value.get("type", value) if isinstance(value, Mapping) else value
