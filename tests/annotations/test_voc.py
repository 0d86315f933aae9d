"""PASCAL VOC annotations: the oddities of real files, the conversion to COCO format, the split."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT

from annotations.voc import CLASSES, find_annotations, parse, split_images, to_coco
from dataset.objects.dataset import build_object_dataset
from errors import InputError
from eval.coco import evaluate, write_results
from tools import voc_to_coco

REAL = ROOT.parent / "shared" / "data" / "voc" / "VOCdevkit"
BOX = "<bndbox><xmin>11</xmin><ymin>21</ymin><xmax>30</xmax><ymax>60</ymax></bndbox>"
SIZE = "<size><width>100</width><height>80</height><depth>3</depth></size>"


def xml(*objects: str, size: str = SIZE) -> bytes:
    body = "".join(f"<object>{o}</object>" for o in objects)
    return f"<annotation><filename>a.jpg</filename>{size}{body}</annotation>".encode()


def only_object(text: str):
    (found,) = parse(xml(text), "a.xml").objects
    return found


# --- one file


def test_pixels_count_from_one_and_corners_lie_inside():
    assert parse(xml(), "a.xml").size == (80, 100)
    assert only_object(f"<name>dog</name>{BOX}").box == (10, 20, 20, 40)
    whole = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>100</xmax><ymax>80</ymax></bndbox>"
    assert only_object(f"<name>dog</name>{whole}").box == (0, 0, 100, 80)


def test_fractions_and_order_of_elements():
    bounds = "<bndbox><ymax>4e1</ymax>\n<xmax> 313.0 </xmax><ymin>7.25</ymin><xmin>191.5</xmin></bndbox>"
    found = only_object(f"{bounds}<difficult>0</difficult><name> person\n</name>")
    assert found.box == (190.5, 6.25, 122.5, 33.75) and found.name == "person"


@pytest.mark.parametrize(
    ("flags", "difficult"),
    [
        ("<truncated>1</truncated><difficult>1</difficult>", True),
        ("<truncated>1</truncated><difficult>0</difficult>", False),
        ("<truncated/><difficult/>", False),
        ("<truncated></truncated><difficult> </difficult>", False),
        ("<difficult>1</difficult>", True),  # no <truncated>
        ("", False),
    ],
)
def test_flags(flags, difficult):
    assert only_object(f"<name>dog</name>{flags}{BOX}").difficult is difficult


def test_parts_are_no_objects():
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    actions = "<actions><jumping>0</jumping></actions><point><x>256</x><y>252</y></point>"
    found = only_object(f"{part}<name>person</name>{actions}{part}{BOX}")
    assert (found.name, found.box) == ("person", (10, 20, 20, 40))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"a\.xml: is no VOC annotation \(no element found"),
        (b"<annotation>", "is no VOC annotation"),
        (b"\xff\xfe<annotation/>", "is no VOC annotation"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "is no VOC annotation"),
        (b"<annotation>&person;</annotation>", "undefined entity"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', r"is no VOC annotation \(document type a\)"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "document type a"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'.encode("utf-16"), "document type a"),
        (xml(size=""), r"a\.xml: size/height is missing"),
        (xml(size=SIZE.replace("100", "")), r"a\.xml: size/width is ''"),
        (xml(size=SIZE.replace("100", "0")), "size is 0x80"),
        (xml(size=SIZE.replace("100", "10.5")), "size is 10.5x80"),
        (xml(f"<name>dog</name>{BOX}", BOX), r"a\.xml, object 2: has no name"),
        (xml("<name>dog</name>"), r"a\.xml, object 1: bndbox/xmin is missing; give a number of pixels"),
        (xml(f"<name>dog</name>{BOX.replace('21', 'nan')}"), "object 1: bndbox/ymin is 'nan'"),
        (xml(f"<name>dog</name>{BOX.replace('60', 'x')}"), "object 1: bndbox/ymax is 'x'"),
        (xml(f"<name>dog</name><difficult>yes</difficult>{BOX}"), "object 1: difficult is 'yes'"),
    ],
)
def test_bad_files(data, message):
    with pytest.raises(InputError, match=message):
        parse(data, "a.xml")


def test_expanding_entities_end_soon():
    entities = "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(12))
    bomb = f'<!DOCTYPE z [<!ENTITY a "lol">{entities}]><z>&m;</z>'
    with pytest.raises(InputError, match="document type z"):
        parse(bomb.encode(), "a.xml")


# --- the split


def test_split_is_a_function_of_names_and_seed():
    names = [f"JPEGImages/2007_{i:06}.jpg" for i in range(1000)]
    split = split_images(names, seed=3)
    assert {k: len(v) for k, v in split.items()} == {"train": 800, "val": 100, "test": 100}
    assert sorted(n for v in split.values() for n in v) == names and all(v == sorted(v) for v in split.values())
    assert split_images(names[::-1], seed=3) == split
    moved = split_images([f"VOC2007/{name}" for name in names], seed=3)
    assert {k: [n.removeprefix("VOC2007/") for n in v] for k, v in moved.items()} == split
    assert split_images(names, seed=4) != split
    numbers = [int(n[-10:-4]) for n in split["val"]]  # drawn from all over the set
    assert 350 < np.mean(numbers) < 650


@pytest.mark.parametrize(("count", "sizes"), [(3, [1, 1, 1]), (5, [3, 1, 1]), (29, [23, 3, 3]), (14, [12, 1, 1])])
def test_small_splits(count, sizes):
    assert [len(v) for v in split_images([f"{i}.jpg" for i in range(count)], 0).values()] == sizes
    with pytest.raises(InputError, match="2 annotated images cannot be split"):
        split_images(["a.jpg", "b.jpg"], 0)


# --- the conversion


def test_classes_are_the_twenty_in_alphabetical_order():
    assert list(CLASSES) == sorted(CLASSES) and len(CLASSES) == 20 and "tvmonitor" in CLASSES


def test_to_coco():
    dog, hard = f"<name>dog</name>{BOX}", f"<name>aeroplane</name><difficult>1</difficult>{BOX}"
    images = {"a.jpg": parse(xml(dog, hard), "a.xml"), "b.jpg": parse(xml(), "b.xml")}
    found = to_coco(images, {"a.jpg": 4, "b.jpg": 9}, CLASSES)
    assert found["images"] == [
        {"id": 4, "file_name": "a.jpg", "height": 80, "width": 100},
        {"id": 9, "file_name": "b.jpg", "height": 80, "width": 100},
    ]
    common = {"image_id": 4, "bbox": [10, 20, 20, 40], "area": 800, "iscrowd": 0}
    assert found["annotations"] == [
        {"id": 1, "category_id": 12, **common, "difficult": 0},
        {"id": 2, "category_id": 1, **common, "difficult": 1},
    ]
    assert found["categories"][11] == {"id": 12, "name": "dog"} and len(found["categories"]) == 20
    easy = to_coco(images, {"a.jpg": 4, "b.jpg": 9}, CLASSES, skip_difficult=True)
    assert [a["category_id"] for a in easy["annotations"]] == [12]


def write_voc(folder: Path, names: dict[str, bytes]) -> Path:
    for part in ("Annotations", "JPEGImages"):
        (folder / part).mkdir(parents=True)
    for stem, data in names.items():
        (folder / "Annotations" / f"{stem}.xml").write_bytes(data)
        cv2.imwrite(str(folder / "JPEGImages" / f"{stem}.jpg"), np.full((80, 100, 3), 90, np.uint8))
    return folder


def test_tool(tmp_path, capsys):
    names = {f"{i:03}": xml(f"<name>dog</name>{BOX}") for i in range(10)}
    write_voc(tmp_path / "VOCdevkit" / "VOC2007", names)
    for source, prefix in (("VOCdevkit", "VOC2007/"), ("VOCdevkit/VOC2007", "")):
        assert voc_to_coco.main([str(tmp_path / source), str(tmp_path / "out"), "--seed", "2"]) == 0
        assert "10 images, 10 objects" in capsys.readouterr().out
        options = {
            "type": "COCO",
            "annotations": str(tmp_path / "out" / "train.json"),
            "images": ".",
            "short_sides": [64],
        }
        dataset = build_object_dataset(options, tmp_path / source, training=True)
        assert len(dataset) == 8 and dataset.record(0).boxes.tolist() == [[10, 20, 30, 60]]
        assert dataset.record(0).name.startswith(f"{prefix}JPEGImages/") and dataset[0].image.shape == (3, 64, 80)
    ids = [
        im["id"]
        for s in ("train", "val", "test")
        for im in json.loads((tmp_path / f"out/{s}.json").read_text())["images"]
    ]
    assert sorted(ids) == list(range(1, 11))  # no two splits share one


def test_two_years_may_share_names(tmp_path, capsys):
    for year in ("VOC2007", "VOC2012"):
        write_voc(tmp_path / "kit" / year, {f"{i}": xml(f"<name>dog</name>{BOX}") for i in range(5)})
    assert voc_to_coco.main([str(tmp_path / "kit"), str(tmp_path / "out")]) == 0
    assert "10 images" in capsys.readouterr().out
    for out in (tmp_path, tmp_path / "kit", tmp_path / "kit" / "VOC2007" / "Annotations"):
        assert voc_to_coco.main([str(tmp_path / "kit"), str(out)]) == 2
        assert "which is read and would be lost" in capsys.readouterr().err
    assert voc_to_coco.main([str(tmp_path / "kit"), str(tmp_path / "kit" / "coco")]) == 0  # beside the years


def test_other_classes(tmp_path, capsys):
    names = {f"{i}": xml(f"<name>{c}</name>{BOX}") for i, c in enumerate(["bike", "cap", "cap", "dog"])}
    source, out = str(write_voc(tmp_path / "kit", names)), str(tmp_path / "out")
    assert voc_to_coco.main([source, out]) == 2
    assert "bike (1 objects), cap (2 objects); give all names with --classes" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert voc_to_coco.main([source, out, "--classes", "cap, dog,bike"]) == 0
    categories = json.loads((tmp_path / "out" / "val.json").read_text())["categories"]
    assert categories == [{"id": 1, "name": "cap"}, {"id": 2, "name": "dog"}, {"id": 3, "name": "bike"}]
    assert voc_to_coco.main([source, out, "--classes", "cap,cap"]) == 2
    assert "--classes cap,cap: give different names" in capsys.readouterr().err


def test_bad_folders(tmp_path, capsys):
    assert voc_to_coco.main([str(tmp_path / "no"), str(tmp_path)]) == 2
    assert "no Annotations/*.xml" in capsys.readouterr().err
    source = write_voc(tmp_path / "kit", {f"{i}": xml() for i in range(4)})
    for i in (1, 2):
        (source / "JPEGImages" / f"{i}.jpg").unlink()
    assert voc_to_coco.main([str(source), str(tmp_path / "out")]) == 2
    assert "2 images are missing, the first: " in (text := capsys.readouterr().err) and "1.jpg; put them" in text
    (tmp_path / "file").write_text("")
    assert (
        voc_to_coco.main([str(write_voc(tmp_path / "ok", {f"{i}": xml() for i in range(3)})), str(tmp_path / "file")])
        == 2
    )
    assert "is a file (Not a directory)" in capsys.readouterr().err


@pytest.mark.skipif(not REAL.is_dir(), reason="no VOC samples here")
def test_real_samples(tmp_path):
    assert voc_to_coco.main([str(REAL / "VOC2012"), str(tmp_path)]) == 0
    total = 0
    for split in ("train", "val", "test"):
        options = {
            "type": "COCO",
            "annotations": str(tmp_path / f"{split}.json"),
            "images": "VOC2012",
            "short_side": 96,
        }
        dataset = build_object_dataset(options, REAL, training=False)
        assert dataset.classes == CLASSES
        records = [dataset.read(i)[1] for i in range(len(dataset))]  # sizes are checked against the images
        total += len(records)
        perfect = [
            (r.image_id, {"boxes": r.boxes, "labels": r.labels, "scores": np.ones(len(r.labels))}) for r in records
        ]
        write_results(tmp_path / "results.json", perfect, dataset.category_ids)
        assert evaluate(dataset.ground_truth, tmp_path / "results.json")["ap"] == pytest.approx(1)
    assert total == 29


# --- images


def voc_folder(root: Path, *names: str) -> Path:
    for folder in ("Annotations", "JPEGImages"):
        (root / folder).mkdir(parents=True)
    for name in names:
        (root / ("Annotations" if name.lower().endswith("xml") else "JPEGImages") / name).write_bytes(
            xml(f"<name>dog</name>{BOX}")
        )
    return root


def test_files_beside_the_images_are_no_images(tmp_path):
    labels = [f"{i}.xml" for i in range(3)] + ["caf\u00e9.XML", "._0.xml"]
    root = voc_folder(
        tmp_path, *labels, "0.jpg", "0.txt", "1.txt", "1.PNG", "2.webp", "2.xcf", "._2.jpg", "cafe\u0301.jpg"
    )
    found = {name: path.name for name, path in find_annotations(root).items()}
    expected = {"0.jpg": "0.xml", "1.PNG": "1.xml", "2.webp": "2.xml", "cafe\u0301.jpg": "caf\u00e9.XML"}
    assert found == {f"JPEGImages/{image}": label for image, label in expected.items()}
    (root / "JPEGImages" / "0.png").touch()
    with pytest.raises(InputError, match=r"0\.png: has the same name as 0\.jpg"):
        find_annotations(root)


def test_fractions_instead_of_pixels():
    fraction = "<bndbox><xmin>0.1</xmin><ymin>0.2</ymin><xmax>0.5</xmax><ymax>0.9</ymax></bndbox>"
    image = parse(xml(f"<name>dog</name>{fraction}"), "a.xml")
    with pytest.raises(InputError, match=r"the corners of all 1 boxes lie within 0\.\.1"):
        to_coco({"a.jpg": image}, {"a.jpg": 1}, CLASSES)
    pixel = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>1</xmax><ymax>1</ymax></bndbox>"
    to_coco({"a.jpg": parse(xml(f"<name>dog</name>{pixel}"), "a.xml")}, {"a.jpg": 1}, CLASSES)
