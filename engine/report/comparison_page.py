"""The page on the comparison of results: `tools/compare.py --report`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

import eval
from dataset.images import read_image
from engine.report.comparison import CHANGED, LEVEL, SCORES, Difference, Results, difference
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
    """Writes the page: the comparison, and side by side the images that change hmean most.

    Args:
        photos: folder of the images; None: outlines alone.
        most: largest number of images that are shown.

    Raises:
        InputError: see `judged_files`; or an image that is not in `photos`.
    """
    judged = [judged_files(one) for one in results]
    pairs = [(first, second, difference(first, second)) for first, second in combinations(results, 2)]
    effects = {name: max(abs(found.effects[name]) for _, _, found in pairs) for name in results[0].images}
    shown = sorted((name for name in effects if effects[name] > CHANGED), key=lambda name: -effects[name])[:most]
    places = _find_photos(photos, shown) if photos else {}

    def parts() -> Iterator[Html]:
        summary = results[0].summary
        yield element("p", f"{summary['protocol']} {summary['variant']}, {len(results[0].images)} images.")
        yield table(["results", *SCORES], [[r.name, *(f"{r.summary[k]:.4f}" for k in SCORES)] for r in results])
        yield element("h2", "Differences")
        said = f"Of hmean, with its {LEVEL:.0%} bootstrap interval over images: one that holds 0 can be chance."
        yield element("p", f"{said} The effect of an image is what its other result alone does to the hmean of all.")
        for pair in pairs:
            yield from _pair(*pair, shown)
        yield element("h2", "Images side by side")
        yield element("p", f"{len(shown)} images, those with the largest effects first.")
        yield switches(maps=False) if shown else Html("")
        for number, name in enumerate(shown, 1):
            yield _side_by_side(results, judged, name, number, places.get(name))

    write_page(path, " / ".join(one.name for one in results), parts())


def _pair(first: Results, second: Results, found: Difference, shown: Sequence[str]) -> Iterator[Html]:
    yield element("p", element("b", second.name), " against ", element("b", first.name), f": {found}")
    for what, images in (("better", found.better), ("worse", found.worse)):
        rows = []
        for name in images:
            link = element("a", name, href=f"#image-{shown.index(name) + 1}") if name in shown else name
            both = [one.summary["per_image"][name]["hmean"] for one in (first, second)]
            rows.append([link, f"{found.effects[name]:+.4f}", *(f"{value:.3f}" for value in both)])
        if rows:
            listed = element("div", table(["image", "effect", "hmean before", "after"], rows), kind="scroll")
            yield element("details", element("summary", f"{len(images)} images {what}"), listed)


def _side_by_side(
    results: Sequence[Results], judged: Sequence[tuple], name: str, number: int, place: Path | None
) -> Html:
    pixels = None if place is None else read_image(place)
    polygons = [polygon for _, truth, found in judged for polygon in (*truth[name].polygons, *found[name])]
    size = np.max([polygon.max(axis=0) for polygon in polygons], axis=0)[::-1] if place is None else pixels.shape[:2]
    figures = []
    for one, (scorer, truth, found) in zip(results, judged):
        photo = None if place is None else picture(pixels, name, PHOTO)
        drawing = outlines(photo, tuple(size), truth[name], found[name], scorer.matches[name])
        row = one.summary["per_image"][name]
        said = f"hmean {row['hmean']:.3f}, {row['ground_truth']} texts, {row['predictions']} detections"
        figures.append(element("figure", drawing, element("figcaption", f"{one.name} ", element("small", said))))
    title = element("figcaption", f"{number}. ", element("b", name))
    return element("figure", title, element("div", *figures, kind="row"), id=f"image-{number}")


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
