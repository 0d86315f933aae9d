"""Pieces of a self-contained HTML report: pictures and plots are embedded, nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from files import write_aside

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse } td, th { padding: .3em .9em; border-bottom: 1px solid #ddd; text-align: right }
td:first-child, th:first-child { text-align: left } img { max-width: 100% }
.row { display: grid; grid-auto-flow: column; grid-auto-columns: 1fr; gap: 6px; margin-bottom: 10px }
figure { margin: 0 } figcaption { font-size: 12px; color: #666 }
"""


def picture(image: np.ndarray, caption: str = "") -> str:
    """An RGB (H, W, 3) or grey (H, W) uint8 picture as a figure."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()
    return _figure("jpeg", data, caption)


def plot(figure: Figure, caption: str = "") -> str:
    """A matplotlib figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return _figure("png", buffer.getvalue(), caption)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; cells are escaped."""
    lines = [_row(header, "th"), *(_row(row, "td") for row in rows)]
    return f"<table>{''.join(lines)}</table>"


def row(figures: Sequence[str]) -> str:
    """Figures side by side."""
    return f'<div class="row">{"".join(figures)}</div>'


def write_page(path: Path, title: str, parts: Sequence[str]) -> None:
    """Writes one self-contained HTML file."""
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
    body = "\n".join(parts)
    with write_aside(path) as aside:
        aside.write_text(
            f"{head}<style>{STYLE}</style><h1>{html.escape(title)}</h1>\n{body}</html>\n", encoding="utf-8"
        )


def _row(cells: Sequence[object], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"


def _figure(kind: str, data: bytes, caption: str) -> str:
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    caption = html.escape(caption)
    return f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
