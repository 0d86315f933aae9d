"""What the stages of multi-neck distillation refuse to mix up, in one line that names both sides."""

import shlex
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import run_script
from stage_configs import SHAPES, changed_annotations, changed_checkpoint, load, write_configs

from dataset.synthetic.shape_set import write_coco
from distillation.multineck.centers import load_centers
from engine import files
from engine.files import lock_file
from engine.training.checkpoint import save_checkpoint
from engine.training.run import build_learner
from engine.training.stages import centers_path, features_path
from errors import InputError
from models import build_detector
from models.weights import read_weights


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("some data") / "shapes"
    write_coco(root, train=4, val=1, size=(64, 64), seed=2)
    return root


@pytest.fixture(scope="module")
def configs(shapes, tmp_path_factory) -> dict[str, Path]:
    return write_configs(tmp_path_factory.mktemp("work dir"), {**SHAPES, "root": shapes.as_posix()})


@pytest.fixture(scope="module")
def done(configs) -> Path:
    """The folder of the runs after stage 2; the teachers have random weights."""
    folder = configs["distill"].parent
    for name in ("faster", "cascade"):
        cfg, dataset = load(configs[name])
        state = build_detector(cfg.model).state_dict()
        save_checkpoint(folder / name / "checkpoint_last.pth.tar", state, cfg.config, 1, {}, dataset.classes)
    run_script("tools/collect_roi_features.py", configs["distill"], "--out", folder / "distill")
    run_script("tools/fit_centers.py", *(features_path(folder / "distill", number) for number in (1, 2)))
    return folder


def refusal(path: Path, *options: str) -> str:
    """The one line with which a run is refused before it starts."""
    with pytest.raises(InputError) as error:
        build_learner(*load(path, *options))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_missing_file_of_centres_names_the_commands_that_make_it(configs, done, tmp_path):
    centers = tmp_path / "of mine" / "centres.npz"
    option = f"distiller.teachers.1.centers={centers}"
    line = refusal(configs["distill"], option)
    assert line.startswith(f"{centers}: no class centres of teacher 2 there; make it with  python tools/")
    first, second = line.split("make it with  ")[1].split("  (and the --cfg-options of this run, if any), then  ")
    for command in (first, second):
        assert shlex.split(command)[0] == "python"
        run_script(*shlex.split(command)[1:])
    np.testing.assert_array_equal(
        load_centers(centers).descriptors, load_centers(centers_path(features_path(done / "distill", 2))).descriptors
    )
    build_learner(*load(configs["distill"], option))


def test_centres_of_another_checkpoint_are_refused(configs, done, tmp_path):
    own = done / "faster" / "checkpoint_last.pth.tar"
    state = {key: value + 0.001 * value.is_floating_point() for key, value in read_weights(own).items()}
    other = changed_checkpoint(own, tmp_path / "other.pth.tar", state_dict=state)
    line = refusal(configs["distill"], f"distiller.teachers.0.checkpoint={other}")
    assert f"its teacher: {own} (tensors " in line and f"expected: {other} (tensors " in line
    assert "collect_roi_features.py" in line
    # The same tensors in another file are the same teacher.
    moved = changed_checkpoint(own, tmp_path / "moved.pth.tar", epoch=7)
    build_learner(*load(configs["distill"], f"distiller.teachers.0.checkpoint={moved}"))


def test_centres_of_other_data_or_sizes_are_refused(configs, done, shapes, tmp_path):
    option = changed_annotations(shapes, tmp_path / "fewer.json", lambda content: content["annotations"].pop())
    line = refusal(configs["distill"], option)
    assert f"its data: {shapes / SHAPES['train'][0]} (sha256 " in line
    assert f"expected: {tmp_path / 'fewer.json'} (sha256 " in line
    images = sorted((shapes / SHAPES["train"][1]).iterdir())[:2]
    before = images[0].read_bytes()
    images[0].write_bytes(images[1].read_bytes())
    try:
        assert "its image files: sha256 " in refusal(configs["distill"])
    finally:
        images[0].write_bytes(before)
    build_learner(*load(configs["distill"]))  # the same content, whenever it was written
    line = refusal(configs["distill"], "data.train.short_sides=[48, 80]")
    assert '"short_side": 64' in line and '"short_side": 80' in line
    assert '"top_channels": 5' in refusal(configs["distill"], "distiller.top_channels=5")


def rename(content: dict) -> None:
    content["categories"][1]["name"] = "plate"


def test_another_class_list_is_refused(configs, done, shapes, tmp_path):
    option = changed_annotations(shapes, tmp_path / "renamed.json", rename)
    line = refusal(configs["distill"], option)
    teacher = done / "faster" / "checkpoint_last.pth.tar"
    assert line.startswith(f"teacher 1 ({teacher}): class 2 is 'disc', but 'plate' for {tmp_path / 'renamed.json'};")
    output = run_script("tools/collect_roi_features.py", configs["distill"], "--cfg-options", option, code=2)
    assert "class 2 is 'disc', but 'plate'" in output
    # A checkpoint that does not name its classes, as those of other projects: then the centres tell.
    unnamed = changed_checkpoint(teacher, tmp_path / "unnamed.pth.tar", classes=None)
    second = changed_checkpoint(done / "cascade" / "checkpoint_last.pth.tar", tmp_path / "second.pth", classes=None)
    checkpoints = [f"distiller.teachers.{i}.checkpoint={path}" for i, path in enumerate((unnamed, second))]
    line = refusal(configs["distill"], option, *checkpoints)
    centers = centers_path(features_path(done / "distill", 1))
    assert line.startswith(f"this run: class 2 is 'plate', but 'disc' for {centers};")


def test_numbers_of_classes_that_differ_are_refused(configs, done, shapes, tmp_path):
    line = refusal(configs["distill"], "model.num_classes=5")
    assert line.startswith(f"{shapes / SHAPES['train'][0]}: has 6 classes, model.num_classes is 5; set it to 6")
    unnamed = changed_checkpoint(done / "faster" / "checkpoint_last.pth.tar", tmp_path / "unnamed.pth", classes=None)
    add = changed_annotations(
        shapes, tmp_path / "more.json", lambda content: content["categories"].append({"id": 91, "name": "spiral"})
    )
    options = [add, "model.num_classes=7", f"distiller.teachers.0.checkpoint={unnamed}"]
    line = refusal(configs["distill"], *options)
    assert line.startswith(f"teacher 1 ({unnamed}): predicts 6 classes, {tmp_path / 'more.json'} has 7;")


def test_mistakes_in_the_distiller_section_are_named(configs, done, tmp_path):
    path = configs["distill"]
    assert "unknown key 'distiller.centers'" in refusal(path, "distiller.centers=[]")
    assert "teachers.0.centers=3: expected a path" in refusal(path, "distiller.teachers.0.centers=3")
    assert "teachers.0.cfg_options='a=b': expected a list" in refusal(path, "distiller.teachers.0.cfg_options=a=b")
    assert "the config has no 'modle'" in refusal(path, "distiller.teachers.0.cfg_options=['modle.a=1']")
    assert "detects something else" in refusal(path, "distiller.teachers.0.config=config/demo/teacher.py")
    text = path.read_text()
    (tmp_path / "none.py").write_text(text + "del distiller['teachers'][1]['centers']\n")
    assert refusal(tmp_path / "none.py").startswith("distiller.teachers.1.centers is missing")
    build_learner(*load(tmp_path / "none.py", "distiller.use_centres=False"))  # then none is needed
    (tmp_path / "fgd.py").write_text(text + "distiller['type'] = 'FGDDistiller'\n")
    assert "unknown key 'distiller.teachers.0.centers'" in refusal(tmp_path / "fgd.py")
    assert "set data.train.with_masks=True" in refusal(configs["cascade"], "data.train.with_masks=False")


def test_what_the_collection_refuses(configs, done, tmp_path):
    command = ["tools/collect_roi_features.py", configs["distill"], "--out", done / "distill"]
    assert "--teacher 3: expected 'all', or a number from 1 to 2" in run_script(*command, "--teacher", 3, code=2)
    assert "distils no object detector" in run_script(command[0], configs["faster"], code=2)
    assert "distils no object detector" in run_script(command[0], "config/kkd/distill_ctw.py", code=2)
    option = f"distiller.teachers.0.checkpoint={tmp_path / 'none.pth'}"
    output = run_script(*command, "--teacher", 1, "--cfg-options", option, code=2)
    assert "none.pth: no teacher checkpoint there; train one with  python train.py" in output
    output = run_script(*command, "--teacher", 1, "--cfg-options", "data.train.long_side=80", code=2)
    assert "its settings" in output and "remove the file to collect anew" in output


def test_features_of_two_precisions_are_not_mixed(configs, done, tmp_path):
    command = ["tools/collect_roi_features.py", configs["distill"], "--teacher", 1, "--out", tmp_path]
    run_script(*command, "--max-steps", 2, "--precision", "bf16")
    assert '"precision": "bf16"' in run_script(*command, code=2)
    run_script(*command, "--precision", "bf16")
    assert '"precision": "bf16"' in run_script(*command, code=2)  # also when it is complete


def test_two_collections_do_not_share_a_file(configs, done, tmp_path, monkeypatch):
    command = ["tools/collect_roi_features.py", configs["distill"], "--out", tmp_path]
    with lock_file(features_path(tmp_path, 2)):
        run_script(*command, "--teacher", 1)  # another machine may make the other one
        monkeypatch.setattr(files, "lock_file", partial(lock_file, patience=0.1))
        assert "another program works there" in run_script(*command, "--teacher", 2, code=2)


def test_what_fit_centers_refuses_before_it_writes(done, tmp_path):
    features = features_path(done / "distill", 1)
    checkpoint = tmp_path / "checkpoint.pth.tar"
    checkpoint.write_bytes(b"weights")
    for options, said in [
        (["--out", checkpoint], f"{checkpoint}: holds no class centres"),
        (["--seed", 2**32], "a seed from 0 to 2^32 - 1"),
        (["--out", tmp_path / "new.npz", "--plot", tmp_path / "c.xyz"], "use .png or .pdf"),
    ]:
        assert said in run_script("tools/fit_centers.py", features, *options, code=2)
    assert checkpoint.read_bytes() == b"weights" and [p.name for p in tmp_path.iterdir()] == [checkpoint.name]
