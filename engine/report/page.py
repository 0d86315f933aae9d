"""Pieces of a self-contained HTML page: nothing is loaded from elsewhere, no script runs, all text is escaped."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure

from errors import InputError, printable
from eval.formats import GroundTruth
from eval.matching import Matches
from files import check_output, write_aside

QUALITY = 85  # of JPEG pictures
# Class of an outline -> colour, dashes, description. The colours are those of Okabe and Ito, which all eyes tell
# apart; ground truth is dashed, detections are solid.
OUTLINES = {
    "found": ("#009e73", "7 4", "text that is found"),
    "missed": ("#d55e00", "7 4", "text that is missed"),
    "left": ("#bbbbbb", "3 3", "ignored text"),
    "true": ("#56b4e9", "none", "detection that is matched"),
    "false": ("#f0e442", "none", "false positive"),
    "unjudged": ("#bbbbbb", "none", "detection that is ignored"),
}
MAPS = "maps of the network"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 1.5em auto; padding: 0 1em; color: #222 }
h2 { margin-top: 2em } table { border-collapse: collapse; margin: .6em 0 } p { max-width: 52em }
td, th { padding: .2em .9em; border-bottom: 1px solid #ddd; text-align: right; font-variant-numeric: tabular-nums }
td:first-child, th:first-child, .about td, td:has(.bar) { text-align: left; overflow-wrap: anywhere }
th { position: sticky; top: 0; background: #fff }
.scroll { max-height: 24em; overflow: auto; border: 1px solid #ddd; display: inline-block }
.side { display: flex; flex-wrap: wrap; gap: 3em } .bar { display: inline-block; height: .7em; background: #0072b2 }
.switches { position: sticky; top: 0; z-index: 2; background: #fffe; padding: .5em 0; border-bottom: 1px solid #ccc;
  display: flex; flex-wrap: wrap; gap: .2em 1.4em; font-size: 13px } .switches label { white-space: nowrap }
.switches svg { width: 36px; height: 14px; vertical-align: middle; background: #444; border-radius: 2px }
.row { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(0, 1fr); gap: 8px; margin: .5em 0 }
figure { margin: 1.6em 0; scroll-margin-top: 5em } .row figure { margin: 0 } figcaption { overflow-wrap: anywhere }
figcaption small { color: #666 } img { max-width: 100% } .maps img { width: 100% }
.stack { position: relative; display: inline-block; vertical-align: top; line-height: 0 }
.stack > img { max-height: 80vh }
.stack > svg { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible }
.bare > svg { position: static; background: #333; min-width: 12em; max-height: 80vh }
polygon, line { fill-opacity: 0; stroke-width: 2; vector-effect: non-scaling-stroke }
svg { filter: drop-shadow(0 0 1px #000) }
polygon.false { stroke-width: 2.5; fill-opacity: .12 } line { stroke-width: 3 }
"""


class Html(str):
    """Text that is HTML already; any other is escaped where it is inserted."""


def escaped(value: Any) -> Html:
    """A value as HTML: its text, with control characters and undecodable bytes shown as such."""
    return value if isinstance(value, Html) else Html(html.escape(printable(str(value)), quote=True))


def element(tag: str, *content: Any, **attributes: Any) -> Html:
    """An element; content and values of attributes are escaped, and the attribute `kind` is its class."""
    named = "".join(f' {"class" if k == "kind" else k}="{escaped(v)}"' for k, v in attributes.items())
    return Html(f"<{tag}{named}>{''.join(map(escaped, content))}</{tag}>")


def table(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> Html:
    """A table of values."""
    lines = [element("tr", *(element("th", cell) for cell in header))]
    return element("table", *lines, *(element("tr", *(element("td", cell) for cell in row)) for row in rows))


def plot(figure: Figure) -> Html:
    """A matplotlib figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    return image(buffer.getvalue(), "svg+xml", "plot")


def picture(pixels: np.ndarray, name: str, most: int) -> Html:
    """An RGB (H, W, 3) or grey (H, W) uint8 picture, scaled so that neither side is longer than `most` pixels."""
    factor = most / max(pixels.shape[:2])
    if factor < 1:
        size = [max(1, round(side * factor)) for side in pixels.shape[1::-1]]
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return image(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes(), "jpeg", name)


def image(data: bytes, kind: str, name: str) -> Html:
    """An encoded picture, in the page itself."""
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return Html(f'<img src="{source}" alt="{escaped(name)}">')


def outlines(
    photo: Html | None,
    size: tuple[int, int],
    truth: GroundTruth,
    predictions: Sequence[np.ndarray],
    matches: Matches,
    scores: Sequence[float] | None = None,
) -> Html:
    """Ground truths and predictions of an image, in the colours of OUTLINES, on its picture.

    Args:
        photo: the picture; None: the outlines alone.
        size: (height, width) of the image in pixels, in which the polygons are given.
        truth, predictions, matches: n ground truths, m predictions, and their judgement.
        scores: (m,) of the predictions, where they are known.
    """
    partners = np.concatenate([matches.pairs, matches.parts]).tolist()
    shapes = []
    for number, (polygon, wanted, found) in enumerate(zip(truth.polygons, matches.wanted, matches.found)):
        kind = ("found" if found else "missed") if wanted else "left"
        shapes.append(
            _polygon(polygon, kind, f"text {number + 1}", "detection", [p for t, p in partners if t == number])
        )
    for number, (polygon, judged, true) in enumerate(zip(predictions, matches.judged, matches.true)):
        kind = ("true" if true else "false") if judged else "unjudged"
        name = f"detection {number + 1}" + ("" if scores is None else f", score {scores[number]:.3f}")
        shapes.append(_polygon(polygon, kind, name, "text", [t for t, p in partners if p == number]))
    height, width = size
    drawing = element("svg", *shapes, viewBox=f"0 0 {width} {height}", preserveAspectRatio="none")
    return element("div", drawing, kind="bare") if photo is None else element("div", photo, drawing, kind="stack")


def _polygon(polygon: np.ndarray, kind: str, name: str, others: str, partners: Sequence[int]) -> Html:
    points = " ".join(f"{x:g},{y:g}" for x, y in np.round(polygon, 1).tolist())
    what = OUTLINES[kind][2] + "".join(f", {others} {number + 1}" for number in partners)
    return element("polygon", element("title", f"{name}: {what}"), kind=kind, points=points)


def switches(maps: bool) -> Html:
    """The legend of the outlines, whose boxes show and hide them; with `maps`, one for the maps, hidden at first."""
    line = '<svg viewBox="0 0 36 14"><line class="{}" x1="2" y1="7" x2="34" y2="7"/></svg>'
    labels = [
        element("label", _box(kind, True), " ", Html(line.format(kind)), f" {what}")
        for kind, (_, _, what) in OUTLINES.items()
    ]
    labels += [element("label", _box("maps", False), f" {MAPS}")] if maps else []
    return element("div", *labels, kind="switches")


def _box(kind: str, checked: bool) -> Html:
    return Html(f'<input type="checkbox" id="show-{kind}"{" checked" if checked else ""}>')


def _style() -> str:
    rules = [_STYLE]
    for kind, (colour, dashes, _) in OUTLINES.items():
        rules.append(f".{kind} {{ stroke: {colour}; stroke-dasharray: {dashes}; fill: {colour} }}")
    for kind in OUTLINES:
        rules.append(f":root:has(#show-{kind}:not(:checked)) polygon.{kind} {{ display: none }}")
    rules.append(":root:has(#show-maps:not(:checked)) .maps { display: none }")
    return "\n".join(rules)


def check_page(field: str, path: str | Path, inputs: Iterable[Path | str] = ()) -> None:
    """Checks a place for a page, before any work; see `check_output`.

    Raises:
        InputError: it does not end in .html, or cannot be written.
    """
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{field} {path}: is a page; give it a name that ends in .html")
    check_output(field, path, inputs, folder=False)


def write_page(path: str | Path, title: str, parts: Iterable[Html]) -> None:
    """Writes one self-contained page, part by part as they come; the browser is told to run and load nothing."""
    with write_aside(path) as aside, aside.open("w", encoding="utf-8") as file:
        file.write('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">')
        policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
        file.write(f'<meta http-equiv="Content-Security-Policy" content="{policy}">')
        file.write(f"{element('title', title)}<style>{_style()}</style></head><body>\n{element('h1', title)}\n")
        for part in parts:
            file.write(f"{part}\n")
        file.write("</body></html>\n")
