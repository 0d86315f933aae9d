"""Masks in COCO format: polygons and run lengths, what they become and what is refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from coco_files import box, content, dataset_of, write

from annotations.coco import read_coco
from annotations.coco_masks import rasterise
from errors import InputError


def even_odd(polygon: list[float], x: float, y: float) -> bool:
    """Whether a point lies in a polygon: crossings of a ray."""
    corners = np.reshape(polygon, (-1, 2))
    inside = False
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0)):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1):
            inside = not inside
    return inside


def test_polygons():
    rings = [[2.0, 2.0, 12.0, 4.0, 6.0, 15.0], [8.0, 8.0, 18.0, 8.0, 18.0, 18.0, 8.0, 18.0]]
    found = rasterise(rings, (20, 24), "here")
    centres = [[any(even_odd(ring, x + 0.5, y + 0.5) for ring in rings) for x in range(24)] for y in range(20)]
    differing = np.argwhere(found != np.array(centres))
    assert found.shape == (20, 24) and found.sum() > 100 and len(differing) <= 8  # pixels that an edge cuts


def runs(mask: np.ndarray) -> list[int]:
    """Uncompressed run-length encoding, down the columns, beginning with zeros: one pixel at a time."""
    counts, last = [0], 0
    for value in mask.T.ravel().tolist():
        if value != last:
            counts.append(0)
            last = value
        counts[-1] += 1
    return counts


def compressed(counts: list[int]) -> str:
    """The format's string: differences to the count before the last, 5 bits a character, lowest first."""
    text = ""
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(48 + bits + 32 * more)
    return text


@pytest.mark.parametrize("seed", range(6))
def test_run_lengths(seed):
    rng = np.random.default_rng(seed)
    mask = cv2.blur(rng.integers(0, 256, (37, 91), np.uint8), (5, 5)) > 128
    counts = runs(mask)
    for form in (counts, compressed(counts)):
        assert np.array_equal(rasterise({"size": [37, 91], "counts": form}, (37, 91), "here"), mask)


def test_masks_of_a_data_set(tmp_path):
    blob = np.zeros((40, 60), np.uint8)
    blob[5:35, 10:30] = 1
    encoded = {"size": [40, 60], "counts": runs(blob)}
    tables = content()
    tables["annotations"][0]["segmentation"] = encoded
    tables["annotations"][2]["segmentation"] = {"size": [40, 60], "counts": compressed(runs(1 - blob))}
    tables["annotations"][1]["segmentation"] = [[0, 0, 30, 0, 30, 40, 0, 40], [30, 0, 60, 0, 60, 40, 30, 40]]
    tables["annotations"][3]["segmentation"] = [[2, 3, 4, 3, 4, 6, 2, 6]]
    write(tmp_path, tables)
    dataset = dataset_of(tmp_path, with_masks=True, short_sides=[40], flip=0)
    small = np.zeros((40, 60), np.uint8)
    small[3:6, 2:4] = 1
    assert np.array_equal(dataset[0].record.masks, [np.ones((40, 60)), small])
    assert np.array_equal(dataset[1].record.masks, [blob])
    assert dataset_of(tmp_path)[0].record.masks is None
    stored = read_coco(tmp_path / "gt.json", with_masks=True).segmentations
    assert [stored[i] for i in range(4)] == [a["segmentation"] for a in tables["annotations"]]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (None, "is missing; give a list of polygons"),
        ([], r"is \[\]"),
        ([[1, 1, 5, 5]], r"is \[\[1\.0, 1\.0, 5\.0, 5\.0\]\]"),
        ([[1, 1, 5, 5, 3, 4, 4]], "segmentation is"),
        ([[1, 1, 5, 5, 3, "4"]], "segmentation is"),
        ([[1, 1, 5, 5, 3, float("nan")]], "segmentation is"),
        ([[1, 1, 5, 5, 3, 1e12]], "segmentation is"),
        ([[1, 1, 5, 5, 3, 10**400]], "segmentation is"),
        ("abc", "segmentation is"),
        ({"counts": [2400]}, "segmentation is"),
        ({"size": [60, 40], "counts": [2400]}, r"segmentation\.size is \[60, 40\]; give \[40, 60\]"),
    ],
)
def test_bad_masks(tmp_path, mask, message):
    tables = content(annotations=[box(1, 7, [0, 0, 9, 9], segmentation=mask)])
    write(tmp_path, tables)
    with pytest.raises(
        InputError, match=r"gt\.json: annotations\[0\]\.segmentation.*" + message.removeprefix("segmentation")
    ):
        dataset_of(tmp_path, with_masks=True)
    assert len(dataset_of(tmp_path)) == 1  # nobody asked for masks


@pytest.mark.parametrize("counts", [[3, 4], [3, -4, 2401], [9999], ["a"], "", "zzzz", "0P", "0P0", "é", "~" * 50])
def test_damaged_run_lengths(tmp_path, counts):
    mask = {"size": [40, 60], "counts": counts}
    write(tmp_path, content(annotations=[box(1, 7, [0, 0, 9, 9], segmentation=mask)]))
    with pytest.raises(InputError, match=r"gt\.json, annotations\[0\]: segmentation\.counts counts"):
        dataset_of(tmp_path, with_masks=True)[0]


def test_masks_that_lie_beside_their_boxes_are_left_out(tmp_path, caplog):
    beside = [[900, 900, 950, 900, 950, 950]]
    fractions = [[0.1, 0.1, 0.4, 0.1, 0.4, 0.4]]
    objects = [box(1, 7, [10, 10, 20, 20]), box(2, 7, [10, 10, 20, 20]), box(3, 7, [10, 10, 20, 20])]
    for entry, polygons in zip(objects, ([[10, 10, 30, 10, 30, 30]], beside, fractions)):
        entry["segmentation"] = polygons
    dataset = dataset_of(write(tmp_path / "some", content(annotations=objects)), with_masks=True)
    assert len(dataset.record(0).boxes) == 1 and "2 objects whose mask lies beside their box left out" in caplog.text
    with pytest.raises(InputError, match=r"no box to train on; 2 objects whose mask lies beside their box left out"):
        dataset_of(write(tmp_path / "all", content(annotations=objects[1:])), with_masks=True)
