"""The page on the comparison of results: `tools/compare.py --report`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

import eval
from dataset.images import read_image
from engine.report.comparison import CHANGED, LEVEL, SCORES, Results, difference
from engine.report.page import Html, element, outlines, picture, switches, table, write_page
from errors import InputError
from eval.scorer import Scorer
from files import IMAGE_SUFFIXES, composed

PHOTO = 800  # pixels: longest side of pictures in the page


def judged_files(one: Results) -> tuple[Scorer, dict, dict]:
    """Scorer with the matches of the result files of `one`, its ground truth, and its results by image.

    Raises:
        InputError: they are not known, cannot be read, or are no longer those that were scored.
    """
    for what, place in (("result files", one.files), ("ground truth", one.ground_truth)):
        if place is None or not place.exists():
            raise InputError(
                f"{one.name}: its {what} are not in {place}; put them there, or give result files and --gt"
            )
    rules = eval.PROTOCOLS[one.summary["protocol"]]
    truth, read = rules.read_ground_truth(one.ground_truth), rules.results.read(one.files)
    found = {name: read.get(name, []) for name in one.images}
    scorer = eval.judge(one.summary["protocol"], truth, found, one.summary["variant"])
    if scorer.summary()["per_image"] != one.summary["per_image"]:
        raise InputError(f"{one.name}: its scores are not those of {one.files}, which has changed; test it again")
    return scorer, truth, found


def write_comparison(path: str | Path, results: Sequence[Results], photos: Path | None, most: int) -> None:
    """Writes the page: the comparison, and the images of which the errors differ most, side by side.

    Args:
        photos: folder of the images; None: outlines alone.
        most: largest number of images that are shown.

    Raises:
        InputError: see `judged_files`; or an image that is not in `photos`.
    """
    judged = [judged_files(one) for one in results]
    errors = np.stack([one.errors() for one in results])
    spread = np.ptp(errors, axis=0)
    shown = [i for i in np.argsort(-spread, kind="stable").tolist() if spread[i] > CHANGED][:most]
    places = _find_photos(photos, [results[0].images[i] for i in shown]) if photos else {}

    def parts() -> Iterator[Html]:
        summary = results[0].summary
        yield element("p", f"{summary['protocol']} {summary['variant']}, {len(results[0].images)} images.")
        yield table(["results", *SCORES], [[r.name, *(f"{r.summary[k]:.4f}" for k in SCORES)] for r in results])
        yield element("h2", "Differences")
        said = f"Of hmean, with its {LEVEL:.0%} bootstrap interval over images: one that holds 0 can be chance."
        yield element("p", f"{said} An image is better with fewer missed texts and false positives.")
        for first, second in combinations(results, 2):
            yield from _pair(first, second)
        yield element("h2", "Images side by side")
        yield element("p", f"{len(shown)} images of which the numbers of errors differ most.")
        yield switches(maps=False) if shown else Html("")
        for number in shown:
            yield _side_by_side(results, judged, results[0].images[number], places)

    write_page(path, " / ".join(one.name for one in results), parts())


def _pair(first: Results, second: Results) -> Iterator[Html]:
    found = difference(first, second)
    yield element("p", element("b", second.name), " against ", element("b", first.name), f": {found}")
    for what, images in (("better", found.better), ("worse", found.worse)):
        rows = []
        for name in images:
            both = [one.summary["per_image"][name] for one in (first, second)]
            rows.append([name, *(f"{row['hmean']:.3f}" for row in both)])
        if rows:
            listed = element("div", table(["image", "hmean of the first", "of the second"], rows), kind="scroll")
            yield element("details", element("summary", f"{len(images)} images {what}"), listed)


def _side_by_side(results: Sequence[Results], judged: Sequence[tuple], name: str, places: Mapping[str, Path]) -> Html:
    pixels = read_image(places[name]) if name in places else None
    figures = []
    for one, (scorer, truth, found) in zip(results, judged):
        polygons = [*truth[name].polygons, *found[name]]
        corner = np.max([polygon.max(axis=0) for polygon in polygons], axis=0) + 10
        drawing = outlines(
            None if pixels is None else picture(pixels, name, PHOTO),
            (corner[1], corner[0]) if pixels is None else pixels.shape[:2],
            truth[name],
            found[name],
            scorer.matches[name],
        )
        row = one.summary["per_image"][name]
        said = f"hmean {row['hmean']:.3f}, {row['predictions']} detections, {row['ground_truth']} texts"
        caption = element("figcaption", one.name, element("br"), element("small", said))
        figures.append(element("figure", drawing, caption))
    return element("div", element("b", name), element("div", *figures, kind="row"))


def _find_photos(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"--images {folder}: no such folder; name that of the images")
    files = {composed(p.stem): p for p in sorted(folder.iterdir()) if p.suffix.lower() in IMAGE_SUFFIXES}
    missing = [name for name in names if name not in files]
    if missing:
        raise InputError(
            f"--images {folder}: has no image {missing[0]}; name the folder of the images, or leave it out"
        )
    return {name: files[name] for name in names}
