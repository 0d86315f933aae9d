"""Words, fonts and straight strips of glyphs for the embedded data set."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from errors import InputError

PUNCTUATION = "-.:!"
ALPHABET = string.ascii_letters + string.digits + PUNCTUATION
_LOOK_ALIKES = str.maketrans(dict.fromkeys("IlO0"))

# Numbers of separate parts and enclosed holes of a character in any typeface: they distinguish a Latin font from
# one with mathematical symbols in place of letters. Left out: characters whose numbers vary (g, 4).
_HOLES = dict.fromkeys("CEFGHIJKLMNSTUVWXYZcfhkmnrstuvwxyz12357", 0) | dict.fromkeys("DOPQRabdeopq069", 1) | {"8": 2}
_SHAPES = {c: (1, holes) for c, holes in _HOLES.items()} | {"i": (2, 0), "j": (2, 0)}
_PUNCTUATION_SHAPES = {"-": (1, 0), ".": (1, 0), ":": (2, 0), "!": (2, 0)}

_WORDS = """
open closed exit enter hotel cafe bakery pizza burger noodle sushi coffee tea fresh bread market store shop
books flowers garden museum gallery theatre cinema station airport terminal platform gate street avenue road
bridge river park plaza square tower palace castle church school college library hospital pharmacy dentist
clinic bank post office police fire rescue danger caution warning stop slow speed limit parking taxi bus
train metro bike rental car wash garage tyres repair service quality famous original since best grand royal
golden silver blue green red black white happy lucky dragon tiger eagle lion panda ocean sunrise sunset
summer winter spring autumn music dance club bar lounge grill kitchen steak seafood chicken vegan organic
juice wine beer brewery whisky ice cream chocolate sweet candy dessert fashion shoes jewelry watch optics
salon beauty spa fitness yoga football baseball champions world united national international central city
town village north south east west upper lower first second sale discount free new special today only
welcome please thank you keep left right push pull do not no smoking water power electric company brothers
sons limited group house home family kids toys games mountain valley island beach harbour lake forest trail
summit
"""
_LEXICON = _WORDS.split()


def latin_alphabet_ok(path: Path) -> bool:
    """True if the font file at `path` has a correct glyph for every character of `ALPHABET`."""
    try:
        font = _font(path, 48)
        missing = _glyph("\U0010fffe", font)  # no character has this code: what the font draws for it means "absent"
        glyphs = {c: _glyph(c, font) for c in ALPHABET}
    except (OSError, ValueError):
        return False
    if any(not g.any() or np.array_equal(g, missing) for g in glyphs.values()):
        return False
    distinct = {glyphs[c].tobytes() for c in string.ascii_letters.translate(_LOOK_ALIKES)}
    if len(distinct) < len(string.ascii_letters.translate(_LOOK_ALIKES)):
        return False
    if any(_parts_and_holes(glyphs[c]) != shape for c, shape in _PUNCTUATION_SHAPES.items()):
        return False
    agree = sum(_parts_and_holes(glyphs[c]) == shape for c, shape in _SHAPES.items())
    return agree >= 0.8 * len(_SHAPES)  # some leeway: stencils and scripts cut or close a loop here and there


def find_fonts(folder: Path | None = None) -> list[Path]:
    """The usable fonts below `folder` (or among those that matplotlib ships), sorted by their relative path.

    Raises:
        InputError: `folder` is missing or holds no font with the Latin letters, digits and basic punctuation.
    """
    if folder is None:
        import matplotlib  # here, not above: only the default needs it

        folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of fonts; give a folder with .ttf or .otf files")
    found = [p for p in folder.rglob("*") if p.suffix.lower() in (".ttf", ".otf", ".ttc") and p.is_file()]
    usable = [p for p in found if latin_alphabet_ok(p)]
    if not usable:
        raise InputError(
            f"{folder}: none of its {len(found)} font files (.ttf, .otf, .ttc) holds the Latin letters "
            "and digits; give a folder with at least one that does"
        )
    return sorted(usable, key=lambda p: p.relative_to(folder).as_posix())


def random_text(rng: np.random.Generator, small: bool = False) -> str:
    """One to four words: from the lexicon mostly, random letters and figures now and then."""
    count = int(rng.choice([1, 2, 3, 4], p=[0.55, 0.27, 0.13, 0.05] if small else [0.62, 0.28, 0.08, 0.02]))
    words = [_LEXICON[rng.integers(len(_LEXICON))] if rng.random() < 0.75 else _code(rng) for _ in range(count)]
    text = " ".join(words)
    text = {0: text.upper(), 1: text.title(), 2: text.lower(), 3: text}[int(rng.choice(4, p=[0.45, 0.3, 0.15, 0.1]))]
    return text + "!" if rng.random() < 0.04 else text


def _code(rng: np.random.Generator) -> str:
    """A string that no lexicon holds: a number, a time, a plate, a telephone number, random letters."""

    def pick(characters: str, low: int, high: int) -> str:
        return "".join(characters[i] for i in rng.integers(len(characters), size=rng.integers(low, high)))

    kind = rng.integers(5)
    if kind == 0:
        return pick(string.digits, 2, 6)
    if kind == 1:
        return pick("12", 1, 2) + pick(string.digits, 1, 2) + ":" + pick("012345", 1, 2) + pick(string.digits, 1, 2)
    if kind == 2:
        return pick(string.ascii_uppercase, 1, 4) + "-" + pick(string.digits, 2, 5)
    if kind == 3:
        return pick(string.digits, 3, 4) + "-" + pick(string.digits, 4, 5)
    return pick(string.ascii_letters, 3, 9)


@dataclass(frozen=True)
class Strip:
    """A straight piece of text or clutter, cut to its ink.

    Attributes:
        fill: (h, w) uint8, coverage of each pixel by the glyphs, 255 inside.
        outline: (h, w) uint8, coverage of glyphs and contour together, or None where there is no contour.
    """

    fill: np.ndarray
    outline: np.ndarray | None = None

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.fill.shape[1] / self.fill.shape[0]


def text_strip(rng: np.random.Generator, text: str, font: Path, height: float) -> Strip:
    """Draws `text` at a resolution that suits an ink height of about `height` pixels in the image."""
    face = _font(font, _ladder(1.5 * height))
    fill = _spaced(text, face, rng.uniform(0.05, 0.3)) if rng.random() < 0.15 else _glyph(text, face)
    fill = cut_to_ink(fill)
    if height < 18 or rng.random() > 0.15:
        return Strip(fill)
    reach = max(1, round(fill.shape[0] * rng.uniform(0.02, 0.06)))
    fill = np.pad(fill, reach)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return Strip(fill, cv2.dilate(fill, kernel))


def cut_to_ink(mask: np.ndarray) -> np.ndarray:
    """The part of `mask` (h, w) uint8 that holds all visible ink; a trace of a hairline at the rim is not."""
    visible = mask > min(48, mask.max() // 2)
    ys, xs = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    return mask[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]


def font_subset(fonts: Sequence[Path], patterns: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """Splits `fonts` into (those that match none of the file name patterns, those that match one)."""
    matched = [f for f in fonts if any(f.match(p) for p in patterns)]
    return [f for f in fonts if f not in matched], matched


def _ladder(size: float) -> int:
    """The next font size of a ladder of steps of a fifth, so that few faces are kept open."""
    step = np.ceil(np.log(max(size, 16.0) / 16.0) / np.log(1.2))
    return round(16 * 1.2**step)


@lru_cache(maxsize=256)
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    # The basic layout: the complex one is not in every build of Pillow, and would change the bytes.
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def _glyph(text: str, font: ImageFont.FreeTypeFont) -> np.ndarray:
    """(h, w) uint8 coverage of `text`, its ink somewhere inside."""
    x0, y0, x1, y1 = font.getbbox(text)
    canvas = Image.new("L", (max(1, int(x1 - x0) + 2), max(1, int(y1 - y0) + 2)))
    ImageDraw.Draw(canvas).text((1 - x0, 1 - y0), text, 255, font)
    return np.asarray(canvas)


def _spaced(text: str, font: ImageFont.FreeTypeFont, gap: float) -> np.ndarray:
    """Like `_glyph`, with `gap` font sizes between letters."""
    advance = [font.getlength(c) + gap * font.size for c in text]
    _, y0, _, y1 = font.getbbox(text)
    canvas = Image.new("L", (int(sum(advance) + font.size), int(y1 - y0) + 2))
    draw, x = ImageDraw.Draw(canvas), font.size / 3
    for letter, width in zip(text, advance):
        draw.text((round(x), 1 - y0), letter, 255, font)
        x += width
    return np.asarray(canvas)


def _parts_and_holes(glyph: np.ndarray) -> tuple[int, int]:
    contours, tree = cv2.findContours(
        np.pad((glyph > 127).astype(np.uint8), 1), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    holes = int((tree[0, :, 3] >= 0).sum()) if len(contours) else 0
    return len(contours) - holes, holes
