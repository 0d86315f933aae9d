"""Labels of a network and of a test set meet by the names of their classes, not by their numbers."""

import json

import coco_files
import numpy as np
import pytest
import torch
from small_detectors import SmallDetector
from stage_configs import SHAPES, write_configs

from engine.experiment import load_experiment
from engine.inference.evaluator import Evaluator
from engine.tasks import TASKS
from engine.tasks.objects import ObjectTestSettings, label_map
from engine.training.checkpoint import load_detector, new_detector, save_checkpoint, warn_other_model
from engine.training.resume import _compare, _facts, _spelt_out
from errors import InputError
from models.fuse import fuse_batch_norm

TASK, CPU = TASKS["objects"], torch.device("cpu")


def detector(*classes: str, labels: tuple[int, ...] = (1, 2, 3)) -> SmallDetector:
    """Finds one box of each label in every image, all alike."""
    found = {
        "boxes": torch.tensor([[0.0, 0.0, 72.0, 48.0]] * len(labels)),  # the whole of an image of 60x40
        "labels": torch.tensor(labels),
        "scores": torch.linspace(0.9, 0.5, len(labels)),
    }
    network = SmallDetector(detections=[found]).eval()
    network.num_classes, network.classes, network.task = len(labels), classes, "objects"
    return network


def without(names: set[str]) -> dict:
    """Annotations less some classes."""
    tables = coco_files.content()
    gone = {c["id"] for c in tables["categories"] if c["name"] in names}
    tables["categories"] = [c for c in tables["categories"] if c["id"] not in gone]
    tables["annotations"] = [a for a in tables["annotations"] if a["category_id"] not in gone]
    return tables


def test_results_name_the_classes_that_the_network_names(tmp_path):
    dataset = coco_files.dataset_of(coco_files.write(tmp_path), training=False)
    assert dataset.classes == ("car", "cat", "kite") and dataset.category_ids == (3, 17, 90)
    network = detector("kite", "car", "cat")
    results = Evaluator(network, ObjectTestSettings(), CPU).predict(dataset, [0])
    path = TASK.write(results, dataset, ObjectTestSettings(), tmp_path / "out.json")
    entries = json.loads(path.read_text())
    assert [(e["category_id"], round(e["score"], 1)) for e in entries] == [(90, 0.9), (3, 0.7), (17, 0.5)]


def test_a_test_set_of_some_of_the_classes(tmp_path):
    dataset = coco_files.dataset_of(coco_files.write(tmp_path, without({"cat"})), training=False)
    network = detector("cat", "kite", "car")
    np.testing.assert_array_equal(label_map(network, dataset), [0, 0, 2, 1])
    results = Evaluator(network, ObjectTestSettings(), CPU).predict(dataset, [0])
    [found] = results.values()
    np.testing.assert_array_equal(found["labels"], [2, 1])
    np.testing.assert_allclose(found["scores"], [0.7, 0.5])
    assert found["boxes"].shape == (2, 4)


def test_a_class_that_the_network_does_not_know_is_named(tmp_path):
    dataset = coco_files.dataset_of(coco_files.write(tmp_path), training=False)
    for classes in (("car", "kite", "dog"), ("Car", "cat", "kite")):
        with pytest.raises(InputError, match=r"gt.json: has the class '(cat|car)', on which the network was not"):
            Evaluator(detector(*classes), ObjectTestSettings(), CPU).predict(dataset)


def test_without_names_the_number_decides(tmp_path):
    dataset = coco_files.dataset_of(coco_files.write(tmp_path), training=False)
    np.testing.assert_array_equal(label_map(detector(), dataset), [0, 1, 2, 3])
    with pytest.raises(InputError, match=r"has 3 classes, model.num_classes is 2"):
        label_map(detector(labels=(1, 2)), dataset)


def test_a_student_takes_the_names_of_its_training_set(tmp_path):
    root = coco_files.write(tmp_path)
    student = new_detector({**load_experiment(write_configs(tmp_path, SHAPES)["faster"]).model, "num_classes": 3})
    TASK.check_student(student, {"train": {}}, coco_files.dataset_of(root))
    assert student.classes == ("car", "cat", "kite")
    other = coco_files.dataset_of(coco_files.write(tmp_path / "other", without({"kite"})), training=False)
    TASK.check_labels(student, other, ObjectTestSettings())
    renamed = coco_files.changed("categories", 0, name="dog")
    with pytest.raises(InputError, match="has the class 'dog'"):
        other = coco_files.dataset_of(coco_files.write(tmp_path / "renamed", renamed), False)
        TASK.check_labels(student, other, ObjectTestSettings())


def test_weights_to_start_from_with_other_labels_are_said(tmp_path, caplog):
    model = load_experiment(write_configs(tmp_path, SHAPES)["faster"]).model
    warn_other_model(model, {"classes": ["a", "b"]}, "start.pth", ("a", "b"))
    warn_other_model(model, {}, "start.pth", ("a", "b"))
    assert not caplog.text
    warn_other_model(model, {"classes": ["b", "a"]}, "start.pth", ("a", "b"))
    assert "start.pth: its labels mean something else: class 1 was 'b', is 'a'" in caplog.text


def test_a_resumed_run_may_spell_out_a_default_and_nothing_else_of_its_model(tmp_path):
    model = load_experiment(write_configs(tmp_path, SHAPES)["faster"]).model

    def facts(changed: dict) -> dict:
        return dict(_facts(_spelt_out({"config": {"model": changed}, "classes": []})))

    _compare(tmp_path, facts(model), facts({**model, "heads": {**model["heads"], "score_thresh": 0.05}}))
    other = {**model, "backbone": {**model["backbone"], "frozen_stages": 2}}
    with pytest.raises(InputError, match=r"differs in model.backbone.frozen_stages \(was None, is 2\)"):
        _compare(tmp_path, facts(model), facts(other))


def test_the_checkpoint_brings_its_classes(tmp_path):
    model = load_experiment(write_configs(tmp_path, SHAPES)["faster"]).model
    path = tmp_path / "a.pth.tar"
    names = list("fedcba")
    save_checkpoint(path, new_detector(model).state_dict(), {"model": model}, 1, {}, names)
    loaded, _ = load_detector(model, path)
    assert list(fuse_batch_norm(loaded).classes) == names
