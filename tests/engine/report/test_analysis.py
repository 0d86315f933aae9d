"""What a detector finds and misses: by image, by size, and over thresholds; pages escape what they show."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from engine.report.analysis import Analysis, at_least
from engine.report.page import OUTLINES, Html, check_page, element, outlines, picture, table, write_page
from engine.report.text import sweep_lines
from engine.settings import TestSettings
from errors import InputError
from post_processing import Detection
from reference.protocols import box


def detection(x: int, score: float, width: int = 40, height: int = 20) -> Detection:
    return Detection(np.float32(box(x, 0, x + width, height)), score)


@pytest.fixture
def analysis(tmp_path):
    """Three images of ICDAR 2015: one text of two found, three missed beside a false positive, and nothing."""

    def label(name: str, *texts: tuple) -> None:
        lines = [",".join(f"{v:g}" for v in box(*place).ravel()) + f",{word}" for *place, word in texts]
        (tmp_path / f"gt_{name}.txt").write_text("\n".join(lines))

    label("half", (0, 0, 40, 20, "long"), (100, 0, 104, 100, "tall"), (200, 0, 240, 20, "###"))
    label("bad", (0, 100, 60, 106, "a"), (0, 200, 60, 270, "b"), (0, 300, 60, 310, "c"))
    label("empty")
    label("not tested", (0, 0, 40, 20, "a"))
    everything = {
        "half": [detection(0, 0.9), detection(201, 0.8, width=38), detection(60, 0.6)],
        "bad": [detection(0, 0.7), Detection(np.float32(box(0, 300, 60, 310)), 0.62)],
        "empty": [],
    }
    return Analysis(tmp_path, TestSettings("icdar2015", min_score=0.65, bbox_type="rect"), everything)


def test_images_are_sorted_by_missed_texts_and_false_positives(analysis):
    assert analysis.worst_first == ["bad", "half", "empty"]
    assert [analysis.errors(name) for name in analysis.worst_first] == [(3, 1), (1, 0), (0, 0)]
    assert analysis.summary["images"] == 3 and analysis.summary["hmean"] == pytest.approx(2 / 7)


def test_the_best_threshold_is_the_one_of_the_highest_hmean(analysis):
    rows = {row["min_score"]: row["hmean"] for row in analysis.sweep}
    assert len(rows) == 100 and list(rows) == sorted(rows)
    found = [rows[threshold] for threshold in (0.0, 0.61, 0.65, 0.8, 0.91)]
    assert found == pytest.approx([4 / 9, 4 / 8, 2 / 7, 2 / 6, 0])
    assert analysis.best["min_score"] == 0.61
    lines = sweep_lines(analysis.sweep, analysis.best, 0.65, "ICDAR2015 validation").splitlines()
    assert lines[-2] == "best threshold on ICDAR2015 validation: test_cfg.min_score=0.61, hmean 0.5000"
    assert "choose it on a validation split" in lines[-1]
    assert [line.split()[0] for line in lines[1:4]] == ["0.6", "0.61", "0.65"]  # below 0.6, nothing changes


def test_recall_by_size_and_aspect_by_hand(analysis):
    sides = {group.name: (group.count, group.recall) for group in analysis.recall_by_side()}
    assert sides == {
        "below 8": (2, 0), "8 to 16": (1, 0), "16 to 32": (1, 1), "32 to 64": (1, 0), "64 or more": (0, None),
    }  # fmt: skip
    aspects = {group.name: (group.count, group.recall) for group in analysis.recall_by_aspect()}
    assert aspects == {"below 2": (1, 0), "2 to 4": (1, 1), "4 to 8": (1, 0), "8 or more": (2, 0)}
    for groups in (analysis.recall_by_side(), analysis.recall_by_aspect()):
        assert sum(group.count * (group.recall or 0) for group in groups) == analysis.summary["true_positives"]


def test_outlines_have_the_colours_of_the_counts(analysis):
    drawn = dict.fromkeys(OUTLINES, 0)
    for name, matches in analysis.scorer.matches.items():
        found = [one.polygon for one in analysis.detections[name]]
        drawing = outlines(None, (400, 300), analysis.ground_truth[name], found, matches, [0.5] * len(found))
        for kind in drawn:
            drawn[kind] += len(re.findall(f'<polygon class="{kind}"', drawing))
    assert drawn == {"found": 1, "missed": 4, "left": 1, "true": 1, "false": 1, "unjudged": 1}
    half = outlines(None, (9, 9), analysis.ground_truth["half"], [detection(0, 0.9).polygon], matches=
                    analysis.scorer.matches["half"], scores=[0.9])  # fmt: skip
    assert "text 1: text that is found, detection 1" in half
    assert "detection 1, score 0.900: detection that is matched, text 1" in half


def test_post_processing_keeps_the_threshold_itself():
    everything = {"a": [detection(0, 0.8), detection(50, 0.7999), detection(99, 0.9)]}
    assert [one.score for one in at_least(everything, 0.8)["a"]] == [0.8, 0.9]


class Tags(HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, data):
        self.words.append(data)


HOSTILE = ['"><img src=x onerror=alert(1)>', "</title><script>alert(1)</script>", "'&lt;\x1b[2J\u202e\udcff"]


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_name_holds_is_text(name, tmp_path):
    pixels = np.zeros((4, 6, 3), np.uint8)
    parts = [
        table([name], [[name]]),
        element("a", name, href=f"#{name}"),
        element("p", picture(pixels, name, most=3)),
    ]
    write_page(tmp_path / "page.html", name, parts)
    page = Tags((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.tags.count("img") == 1 and "script" not in page.tags
    assert not [key for key, _ in page.attributes if key.startswith("on")]
    shown = name.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e").replace("\udcff", "\\udcff")
    assert page.words.count(shown) == 5  # title, heading, two cells, link
    assert dict(page.attributes)["alt"] == shown


def test_html_is_not_escaped_twice():
    assert element("p", element("b", "<"), "<") == "<p><b>&lt;</b>&lt;</p>"
    assert isinstance(table([], []), Html)


def test_a_page_that_fails_leaves_the_earlier_one(tmp_path):
    def parts():
        yield element("p", "half")
        raise InputError("no more")

    (tmp_path / "page.html").write_text("earlier")
    with pytest.raises(InputError):
        write_page(tmp_path / "page.html", "title", parts())
    assert [path.read_text() for path in tmp_path.iterdir()] == ["earlier"]


def test_a_page_has_the_name_of_one(tmp_path):
    check_page("--report", tmp_path / "new" / "page.HTML")
    with pytest.raises(InputError, match=r"--report \S+results.json: is a page; give it a name that ends in .html"):
        check_page("--report", tmp_path / "results.json")
    with pytest.raises(InputError, match="is read and would be lost"):
        check_page("--report", tmp_path / "page.html", [tmp_path])
