"""Scores of text detectors, one module a protocol. ``python -m eval PROTOCOL --gt .. --pred ..`` runs one."""

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from errors import InputError
from eval import ctw1500, formats


class Protocol(NamedTuple):
    """What scoring a benchmark takes. The first variant is the benchmark's official rule and the default."""

    scorer: Callable[[str], Any]  # takes the variant; has update(image_id, gt, predictions) and summary()
    variants: tuple[str, ...]
    read_ground_truth: Callable[[str | Path], Mapping[str, Any]]
    read_results: Callable[[str | Path], Mapping[str, Any]]
    write_results: Callable[[str | Path, Mapping[str, Any]], None]


PROTOCOLS = {
    "ctw1500": Protocol(
        ctw1500.CTW1500,
        ctw1500.VARIANTS,
        formats.read_ctw1500_ground_truth,
        formats.read_ctw1500_results,
        formats.write_ctw1500_results,
    ),
}


def _refuse(what: str, name: str, known: Iterable[str]) -> InputError:
    known = tuple(known)
    close = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f": did you mean {close[0]}?" if close else ""
    return InputError(f"{what} {name!r} is unknown (there is {', '.join(known)}){hint}")


def _rules(protocol: str) -> Protocol:
    if protocol not in PROTOCOLS:
        raise _refuse("protocol", protocol, PROTOCOLS)
    return PROTOCOLS[protocol]


def write_results(protocol: str, path: str | Path, results: Mapping[str, Any]) -> None:
    """Write detections in the format in which a benchmark takes them.

    Args:
        protocol: a key of ``PROTOCOLS``.
        path: the result folder; an earlier one is replaced once all is written.
        results: image id -> (n, 2) polygons, x and y in pixels of the original image.

    Raises:
        InputError: an unknown protocol, or a place that cannot be written.
    """
    _rules(protocol).write_results(path, results)


def evaluate(
    protocol: str,
    gt_path: str | Path,
    pred_path: str | Path,
    variant: str | None = None,
    only: Collection[str] | None = None,
) -> dict[str, Any]:
    """Score result files against ground truth.

    Args:
        protocol: a key of ``PROTOCOLS``.
        gt_path: folder or zip of ground truth files.
        pred_path: folder or zip of result files, named as the ground truth files.
        variant: a rule the protocol knows; None takes the official one.
        only: the images to score, where that is not all that have ground truth.

    Returns:
        At least ``protocol``, ``variant``, ``precision``, ``recall``, ``hmean`` (0 to 1) and ``per_image``.

    Raises:
        InputError: an unknown name, a missing folder, a file that cannot be read or that has no ground truth.
    """
    rules = _rules(protocol)
    variant = variant or rules.variants[0]
    if variant not in rules.variants:
        raise _refuse(f"{protocol}: variant", variant, rules.variants)
    ground_truth = rules.read_ground_truth(gt_path)
    results = rules.read_results(pred_path)
    strangers = [name for name in results if name not in ground_truth]
    if strangers:
        more = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
        raise InputError(f"{pred_path}: {strangers[0]}.txt{more} without ground truth of that name in {gt_path}")
    scorer = rules.scorer(variant)
    for image_id, polygons in ground_truth.items():
        if only is not None and image_id not in only:
            continue
        scorer.update(image_id, polygons, results.get(image_id))
    return scorer.summary()
