"""ROI descriptors, class centres, and the files by which the stages of multi-neck distillation hand them over."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from distillation.multineck import stage_files
from distillation.multineck.centers import (
    MAX_WEIGHT,
    Centers,
    centre_weights,
    fit_centers,
    load_centers,
    nearest_mse,
    save_centers,
)
from distillation.multineck.feature_files import FeatureWriter, read_features, write_features
from distillation.multineck.provenance import Provenance, check_same_classes, tensors_sha256
from distillation.multineck.roi_features import roi_descriptors
from distillation.multineck.stage_files import DescriptorSet
from errors import InputError
from files import file_sha256
from reference import fgd as reference

ORIGIN = Provenance(
    teacher="work_dirs/r101/checkpoint_last.pth.tar",
    teacher_sha256="a" * 64,
    classes=("cat", "dog", "cow"),
    annotation="train.json",
    annotation_sha256="b" * 64,
    images=4,
    images_sha256="c" * 64,
    settings={"short_size": 800, "top_channels": 20},
)


def random_pyramid(channels: int, images: int = 2, size: int = 512) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(images, channels, size // s, size // s, generator=generator) for s in (4, 8, 16, 32)]


def random_features(number: int = 50, seed: int = 0, classes: int = 3) -> DescriptorSet:
    rng = np.random.default_rng(seed)
    descriptors = rng.normal(size=(number, 49)).astype(np.float32)
    return DescriptorSet(descriptors, rng.integers(1, classes + 1, number).astype(np.int32), ORIGIN)


# Sides at which the level changes (112, 224, 448), with and beyond, borders, less than a cell, and zero size.
BOXES = [
    [[10, 20, 50, 70], [0, 0, 112, 112], [0, 0, 111.9, 112], [100, 50, 324, 274], [3, 4, 4, 5], [60, 60, 60, 60]],
    [[0, 0, 512, 512], [30, 200, 478, 648], [480, 490, 512, 512]],
]


@pytest.mark.parametrize("channels", [6, 24])
def test_descriptors_equal_their_reference(channels):
    pyramid = random_pyramid(channels)
    found = roi_descriptors(pyramid, [torch.tensor(b, dtype=torch.float32) for b in BOXES])
    expected = [
        reference.descriptor([level[image].double().numpy() for level in pyramid], box)
        for image, boxes in enumerate(BOXES)
        for box in boxes
    ]
    np.testing.assert_allclose(found, np.stack(expected), atol=1e-5)


def test_descriptors_average_the_strongest_channels():
    # Constant channels 0..4: the three strongest average to 3 at each of 49 places; of length 1 that is 1/7 each.
    pyramid = [torch.arange(5.0).view(1, 5, 1, 1).expand(1, 5, 64 // s, 64 // s) for s in (1, 2, 4, 8)]
    pyramid[0] = pyramid[0].clone()
    pyramid[0][:, 3, 2:5] += 0.5  # in one of the three
    even = roi_descriptors(pyramid, [torch.tensor([[0.0, 100, 60, 160]])], top_channels=3)
    assert even.flatten().tolist() == pytest.approx([1 / 7] * 49)
    uneven = roi_descriptors(pyramid, [torch.tensor([[0.0, 0, 60, 60]])], top_channels=3)
    assert uneven.norm().item() == pytest.approx(1) and uneven.std() > 1e-3
    assert torch.equal(uneven, roi_descriptors(pyramid, [torch.tensor([[0.0, 0, 60, 60]])], top_channels=3))
    zero = roi_descriptors([level * 0 for level in pyramid], [torch.tensor([[0.0, 0, 60, 60]])])
    assert torch.equal(zero, torch.zeros(1, 49))


def test_no_boxes_no_descriptors():
    assert roi_descriptors(random_pyramid(6, size=64), [torch.zeros(0, 4)] * 2).shape == (0, 49)


def test_one_centre_is_the_mean_and_few_samples_are_their_own():
    features = random_features()
    centers = fit_centers(features)
    assert centers.labels.tolist() == [1, 2, 3] and centers.descriptors.dtype == np.float32
    for label, centre in zip(centers.labels, centers.descriptors):
        own = features.descriptors[features.labels == label].astype(np.float64)
        np.testing.assert_array_equal(centre, own.mean(0).astype(np.float32))
    few = DescriptorSet(features.descriptors[:3], np.array([1, 3, 3], np.int32), ORIGIN)
    centers = fit_centers(few, k=4)
    np.testing.assert_array_equal(centers.descriptors, few.descriptors)
    assert centers.labels.tolist() == [1, 3, 3] and centers.missing_classes() == ["dog"]


def test_k_means_finds_clusters_and_repeats_itself():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    means = rng.normal(size=(3, 49))
    points = (means[rng.integers(0, 3, 300)] + rng.normal(0, 0.01, (300, 49))).astype(np.float32)
    features = DescriptorSet(points, np.ones(300, np.int32), ORIGIN)
    centers = fit_centers(features, k=3, seed=1)
    nearest = np.abs(centers.descriptors[:, None] - means).max(2).min(0)
    assert len(centers.labels) == 3 and nearest.max() < 0.01
    np.testing.assert_array_equal(fit_centers(features, k=3, seed=1).descriptors, centers.descriptors)


def test_no_features_give_no_centres():
    centers = fit_centers(DescriptorSet(np.zeros((0, 49), np.float32), np.zeros(0, np.int32), ORIGIN))
    assert centers.descriptors.shape == (0, 49) and centers.missing_classes() == list(ORIGIN.classes)


def test_weights_equal_the_reference():
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 0.3, (4, 49)).astype(np.float32)
    centers = Centers(centres, np.array([1, 1, 3, 1], np.int32), ORIGIN)
    descriptors = np.concatenate([rng.normal(0, 1, (20, 49)), centres + 0.02]).astype(np.float32)
    labels = np.array([*rng.integers(1, 4, 20), 1, 1, 3, 1])
    mse = nearest_mse(torch.from_numpy(descriptors), torch.from_numpy(labels), centers.table())
    expected = [
        reference.centre_value(d.astype(float), centres[centers.labels == label].astype(float))
        for d, label in zip(descriptors, labels)
    ]
    assert centre_weights(mse).tolist() == pytest.approx(expected, rel=1e-3)
    assert np.array_equal(torch.isinf(mse), labels == 2)


def test_weights_at_their_limits_by_hand():
    # On the centre; at an MSE of 1/50, of 1, and of 4; of a class without centre.
    centers = Centers(np.zeros((1, 49), np.float32), np.array([1], np.int32), ORIGIN)
    rows = torch.tensor([0, 0.02**0.5, 1, 2, 0])[:, None].expand(5, 49)
    found = centre_weights(nearest_mse(rows, torch.tensor([1, 1, 1, 1, 2]), centers.table()))
    assert found.tolist() == pytest.approx([MAX_WEIGHT, 50, 1, 1, 1])
    assert nearest_mse(rows[:0], torch.zeros(0, dtype=torch.long), centers.table()).shape == (0,)


def test_files_return_what_was_written(tmp_path):
    features = random_features()
    write_features(tmp_path / "new" / "features.npz", features)
    save_centers(tmp_path / "centers.npz", fit_centers(features))
    for written, read in (
        (features, read_features(tmp_path / "new" / "features.npz")),
        (fit_centers(features), load_centers(tmp_path / "centers.npz")),
    ):
        np.testing.assert_array_equal(read.descriptors, written.descriptors)
        np.testing.assert_array_equal(read.labels, written.labels)
        assert read.provenance == ORIGIN
    assert sorted(os.listdir(tmp_path)) == ["centers.npz", "new"]


def test_unfit_files_are_refused(tmp_path):
    path = tmp_path / "features.npz"
    with pytest.raises(InputError, match=r"features\.npz: no such file; make the ROI features first"):
        read_features(path)
    features = random_features()
    write_features(path, features)
    with pytest.raises(InputError, match="holds ROI features, expected class centres"):
        load_centers(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="damaged"):
        read_features(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="damaged"):
        read_features(path)
    np.savez(path, kind=np.array([None], object))
    with pytest.raises(InputError, match="damaged"):
        read_features(path)
    for change, message in (
        (dict(descriptors=features.descriptors[:, :48]), r"\(50, 48\), expected float32 \(50, 49\)"),
        (dict(descriptors=features.descriptors.astype(float)), "float64"),
        (dict(descriptors=features.descriptors * np.float32(np.nan)), "not finite"),
        (dict(labels=features.labels - 1), "from 1 to 3"),
        (dict(labels=features.labels + 1), "from 1 to 3"),
    ):
        stage_files.write_descriptors(path, "ROI features", replace(features, **change))
        with pytest.raises(InputError, match=message):
            read_features(path)


@pytest.mark.parametrize(
    "change, message",
    [
        (
            dict(teacher_sha256="c" * 64, teacher="b.pth"),
            r"its teacher: work_dirs/r101.* a{12}\); expected: b\.pth.* c{12}",
        ),
        (dict(annotation_sha256="c" * 64), r"its data: train\.json .* b{12}\); expected: train\.json .* c{12}"),
        (dict(classes=("cat", "cow", "dog")), "this run: class 2 is 'cow', but 'dog' for c.npz"),
        (dict(classes=("cat", "dog")), "this run: has 2 classes, c.npz has 3"),
        (dict(images=5), "its images: 4; expected: 5"),
        (dict(settings={"short_size": 600, "top_channels": 20}), "its settings: .*800.* expected: .*600"),
    ],
)
def test_a_file_of_another_run_is_refused_naming_both_sides(change, message):
    with pytest.raises(InputError, match=message):
        ORIGIN.match(replace(ORIGIN, **change), "c.npz")


def test_a_file_that_was_moved_still_matches():
    ORIGIN.match(replace(ORIGIN, teacher="elsewhere.pth", annotation="elsewhere.json"), "c.npz")
    with_tuple = replace(ORIGIN, settings={"size": (800, 1333)})
    Provenance.from_json(with_tuple.to_json(), "c.npz").match(with_tuple, "c.npz")


def test_unreadable_provenance_is_refused():
    for text in ("", "[1]", "{}", '{"classes": []}'):
        with pytest.raises(InputError, match=r"c\.npz: its provenance cannot be read"):
            Provenance.from_json(text, "c.npz")


def test_class_lists_are_compared_by_name_and_order():
    check_same_classes({"teacher 1": ("a", "b"), "teacher 2": ["a", "b"], "the data": ("a", "b")})
    with pytest.raises(InputError, match="the data: class 1 is 'b', but 'a' for teacher 1"):
        check_same_classes({"teacher 1": ("a", "b"), "teacher 2": ("a", "b"), "the data": ("b", "a")})


def test_hashes_see_values_names_and_shapes_but_not_the_file(tmp_path):
    state = torch.nn.BatchNorm2d(4).state_dict()
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "a.pth")
    reread = torch.load(tmp_path / "a.pth", weights_only=True)["state_dict"]
    assert tensors_sha256(dict(reversed(reread.items()))) == tensors_sha256(state)
    others = [
        {**state, "weight": state["weight"] + 1e-6},
        {**state, "weight": state["weight"].view(2, 2)},
        {("w" if key == "weight" else key): value for key, value in state.items()},
        {**state, "weight": state["weight"].bfloat16()},
    ]
    assert len({tensors_sha256(other) for other in [state, *others]}) == 5
    (tmp_path / "text").write_bytes(b"abc")
    assert file_sha256(tmp_path / "text") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(InputError, match="none: cannot be read"):
        file_sha256(tmp_path / "none")


def images(seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Descriptors and labels of the four images of ORIGIN; the second has no boxes."""
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(n, 49, generator=generator), torch.randint(1, 4, (n,), generator=generator)) for n in (3, 0, 5, 2)
    ]


def test_collection_in_one_go(tmp_path):
    path = tmp_path / "features.npz"
    with FeatureWriter(path, ORIGIN) as writer:
        for index, image in enumerate(images()):
            assert writer.resume_at == index
            writer.add(index, *image)
    found = read_features(path)
    assert np.array_equal(found.descriptors, torch.cat([d for d, _ in images()]))
    assert np.array_equal(found.labels, torch.cat([labels for _, labels in images()]))
    assert os.listdir(tmp_path) == ["features.npz"]


@pytest.mark.parametrize("done", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("damage", ["none", "row half written", "journal half written", "rows lost"])
def test_a_killed_collection_goes_on_where_it_stopped(tmp_path, done, damage):
    path, parts = tmp_path / "features.npz", tmp_path / "features.npz.parts"
    killed = FeatureWriter(path, ORIGIN)  # never closed
    for index in range(done):
        killed.add(index, *images()[index])
    if damage == "row half written":
        (parts / "rows.bin").open("ab").write(b"123")
    elif damage == "journal half written":
        (parts / "journal.bin").open("ab").write(b"123")
    elif damage == "rows lost":  # power went before the disk had them
        size = (parts / "rows.bin").stat().st_size
        os.truncate(parts / "rows.bin", max(0, size - 100))
    with FeatureWriter(path, ORIGIN) as writer:
        assert writer.resume_at == (done if damage != "rows lost" else {0: 0, 1: 0, 2: 0, 3: 2, 4: 3}[done])
        for index in range(writer.resume_at, 4):
            writer.add(index, *images()[index])
    found = read_features(path)
    assert np.array_equal(found.descriptors, torch.cat([d for d, _ in images()]))
    assert np.array_equal(found.labels, torch.cat([labels for _, labels in images()]))
    assert not parts.exists()


def test_a_collection_without_any_box(tmp_path):
    with FeatureWriter(tmp_path / "none.npz", replace(ORIGIN, images=1)) as writer:
        writer.add(0, torch.zeros(0, 49), torch.zeros(0, dtype=torch.long))
    assert read_features(tmp_path / "none.npz").descriptors.shape == (0, 49)


def test_an_unfinished_collection_makes_no_file_and_admits_no_other_teacher(tmp_path):
    path = tmp_path / "features.npz"
    with FeatureWriter(path, ORIGIN) as writer:
        writer.add(0, *images()[0])
        with pytest.raises(ValueError, match="image 2 given, 1 is next"):
            writer.add(2, *images()[2])
    assert not path.exists()
    with pytest.raises(InputError, match=r"its teacher: .*; expected: .*; remove .*features\.npz\.parts"):
        FeatureWriter(path, replace(ORIGIN, teacher_sha256="c" * 64))
