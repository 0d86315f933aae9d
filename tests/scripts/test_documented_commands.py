"""Every command that the documentation shows: run in miniature where that takes seconds, else read by its own parser.

A command that belongs to neither kind fails `test_every_command_is_covered`.
"""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import cv2
import pytest
import torch
from conftest import ROOT, run_script
from exported_networks import bright_network, needs_packages, picture

from dataset.synthetic.shape_set import write_coco
from engine.experiment import load_experiment

PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "config/README.md",
    "weights/README.md",
    *(f"docs/{p.name}" for p in sorted(ROOT.glob("docs/*.md"))),
]
STARTS = ("python ", "python3 ", "make ", "pip ", "sh ", ". ")
SHELL = ("pip", "mkdir", "ln")
# What stands for something of the reader's.
PLACEHOLDERS = {
    "CONFIG...": "config/kkd/distill_ctw.py", "CONFIG": "config/kkd/r18_ctw.py", "CHECKPOINT": "checkpoint.pth.tar",
    "PROTOCOL": "ctw1500", "NAME": "official", "FILE": "file.json", "PATH": "folder",
}  # fmt: skip
# Run elsewhere, or not at all: they take minutes, install, or read what only their readers have. Their options are read
# by their own parser, and their configs and config entries by `load_experiment`.
READ_ONLY = {
    "export.py": "half a minute each; tests/engine/inference/test_export.py",
    "predict.py": "detects in what only its readers have; tests/scripts/test_predict.py",
    "docs/scale.md": "for several machines; tests/engine/training/test_processes.py",
    "docs/custom_dataset.md": "tests/scripts/test_custom_dataset.py runs every one of them",
    "docs/multineck.md": "the commands of README.md, with more options",
    "tools/import_checkpoint.py": "reads a published file; tests/tools/test_import_checkpoint.py",
    "tools/calibrate.py": "reads a trained network; tests/tools/test_calibrate.py",
    "tools/merge_predictions.py": "needs shards; tests/engine/inference/test_prediction_lines.py",
    "tools/compare.py": "needs two tests; tests/tools/test_compare.py",
    "benchmarks/run.py": "minutes",
    "benchmarks/peers.py": "minutes, and needs a package of its own; tests/benchmarks/test_peers.py",
    "benchmarks/precision.py": "minutes",
    "benchmarks/network_speed.py": "minutes; tests/benchmarks/test_network_speed.py runs it in miniature",
    "benchmarks/distillation_gain.py": "hours; tests/benchmarks/test_distillation_gain.py runs it in miniature",
    "benchmarks/released.py": "minutes; tests/benchmarks/test_released.py runs it in miniature",
    "benchmarks/scaling.py": "minutes",
    "benchmarks/many_pictures.py": "minutes; tests/benchmarks/test_many_pictures.py runs it in miniature",
    "benchmarks/synthtext_index.py": "minutes; tests/dataset/text/test_parser_synthtext.py measures with it",
    "benchmarks/learner_steps.py": "needs ICDAR2015; tests/benchmarks/test_learner_steps.py runs it in miniature",
    "benchmarks/term_gradients.py": "needs a study that has been run",
    "tools/demo.py": "tests/tools/test_demos.py runs it in miniature",
    "tools/demo_multineck.py": "tests/tools/test_demos.py runs it in miniature",
    "tools/fuzz.py": "minutes; tests/tools/test_fuzz.py runs it in miniature",
    "tools/mutation_check.py": "minutes; tests/tools/test_mutation_check.py",
    "pytest": "this is one of its runs",
    "venv": "make does it, too",
    "pip": "make does it, too",
    "mkdir": "the shell's",
    "ln": "the shell's",
    "compile.sh": "make does it, too",
    "activate": "make does without",
}
DATA = ["data.batch_size=6", "data.num_workers=0", "train_cfg.epoch=1"]
TEXT = [f"data.{key}=64" for key in ("train.img_size", "train.short_size", "test.short_size")]
BOXES = ["data.root=data/shapes", "data.train.short_sides=[64]", "data.train.long_side=64", "data.test.short_side=64"]
SIX = "model.num_classes=6"
TEACHERS = [f"distiller.teachers.0.cfg_options=['{SIX}']"]
TEACHERS += [f"distiller.teachers.1.cfg_options=['{SIX}', 'model.heads.predict_masks=False']"]
# Script -> what makes a run of it short.
MINIATURE = {
    "train.py": ["--max-steps", "1"],
    "knowledge_distillation_train.py": ["--max-steps", "1"],
    "test.py": [],
    "batch_eval.py": [],
    "-m eval": [],
    "tools/make_synthetic.py": ["--train", "6", "--test", "3", "--size", "96x96"],
    "tools/make_synthetic_coco.py": ["--train", "2", "--val", "2", "--size", "64x64"],
    "tools/collect_roi_features.py": [],
    "tools/fit_centers.py": [],
    "tools/browse_dataset.py": ["--images", "2"],
    "tools/model_complexity.py": ["--size", "64x64"],
    "benchmarks/gain_report.py": [],
}


def lines_of(text: str) -> list[str]:
    """The lines of code blocks without a language of their own, and what stands between `...` and is a command."""
    shown, rest = [], []
    for number, part in enumerate(re.split(r"^```", text, flags=re.MULTILINE)):
        if number % 2 == 0:
            rest.append(part)
        elif part.partition("\n")[0] in ("", "sh"):
            shown += re.sub(r"\\\n\s*", " ", part.partition("\n")[2]).splitlines()
    inline = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", "".join(rest))]
    return shown + [span for span in inline if span.startswith(STARTS)]


def commands_of(text: str) -> list[list[str]]:
    """The commands of a page, in order, as their words; shell variables replaced, comments and brackets removed."""
    found, variables = [], {}
    for line in lines_of(text):
        for name, value in variables.items():
            line = line.replace(f"${name}", value)
        words = shlex.split(line, comments=True)
        if words[:1] == ["torchrun"]:  # its own options come before the script
            words = ["python", *words[next(i for i, word in enumerate(words) if word.endswith(".py")) :]]
        if words and re.fullmatch(r"[A-Z]+=.*", words[0]):
            name, _, variables[name] = words[0].partition("=")
        elif words and not words[0].startswith("-"):
            found.append([PLACEHOLDERS.get(word.strip("[]"), word.strip("[]")) for word in words])
    return found


def script_of(words: list[str]) -> str:
    """By what a command is known to the tables above."""
    if words[0] in ("python", "python3"):
        return {"eval": "-m eval"}.get(words[2], words[2]) if words[1] == "-m" else words[1]
    return words[0] if words[0] in SHELL else Path(words[1]).name


def pages() -> list[tuple[str, list[list[str]]]]:
    return [(page, commands_of((ROOT / page).read_text(encoding="utf-8"))) for page in PAGES]


COMMANDS = [(page, words) for page, commands in pages() for words in commands if words[0] != "make"]
TARGETS = sorted({words[1] for _, commands in pages() for words in commands if words[0] == "make"})


def test_pages_are_read_as_people_read_them():
    text = """
Say `make demo` or `train.py`; `python train.py
config/a.py` is a command.

```
RUN=some
python tools/a.py $RUN.npz \\
    b.npz   # a comment
--cfg-options x=1
```

```python
make nothing
```
"""
    assert commands_of(text) == [
        ["python", "tools/a.py", "some.npz", "b.npz"],
        ["make", "demo"],
        ["python", "train.py", "config/a.py"],
    ]
    assert len(COMMANDS) > 40 and {"demo", "demo-multineck", "test", "study", "bench"} <= set(TARGETS)


def test_every_command_is_covered():
    for page, words in COMMANDS:
        assert page in READ_ONLY or script_of(words) in {**READ_ONLY, **MINIATURE}, (page, words)
    for script in {*READ_ONLY, *MINIATURE}:
        known = "/" not in script and not script.endswith(".py")
        assert known or (ROOT / script).is_file(), f"{script} is gone"


class Parsed(BaseException):
    """Raised where a program would begin its work."""


def read_by_its_parser(words: list[str], monkeypatch) -> None:
    """Runs a program until its command line is parsed, and loads the configs that it names."""
    parse = argparse.ArgumentParser.parse_known_args

    def stop(self, args=None, namespace=None):
        raise Parsed(parse(self, args, namespace))

    arguments = words[1:]
    monkeypatch.syspath_prepend(str(ROOT / Path(words[1]).parent))  # as Python itself does
    if len(arguments) == (2 if arguments[0] == "-m" else 1):  # a program is named, and nothing it needs
        run_script(*arguments, "--help")
        return
    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_known_args", stop)
        with pytest.raises(Parsed) as parsed:
            run_script(*arguments)
    args, unknown = parsed.value.args[0]
    assert not unknown, (words, unknown)
    options = [option for option in getattr(args, "cfg_options", []) if "torchvision:" not in option]
    config = getattr(args, "config", None)
    for path in [config] if isinstance(config, str) else [word for word in words if word.startswith("config/")]:
        if "mine" not in path:
            load_experiment(ROOT / path.partition(":")[0], options)


@pytest.mark.parametrize("words", sorted({tuple(w) for _, w in COMMANDS}), ids=lambda words: " ".join(words)[:60])
def test_its_options_are_those_of_its_parser(words, monkeypatch):
    script = script_of(list(words))
    if script in (*SHELL, "venv", "compile.sh", "activate"):
        files = [word for word in words if word.endswith((".txt", ".sh"))]
        assert all((ROOT / file).is_file() for file in files)
    elif script == "pytest":
        assert all((ROOT / word).is_file() for word in words if word.endswith(".py"))
    else:
        read_by_its_parser(list(words), monkeypatch)


@pytest.mark.parametrize("target", TARGETS)
def test_what_make_runs_is_there(target, monkeypatch):
    planned = subprocess.run(["make", "-n", "-B", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = [shlex.split(line) for line in planned.replace("\\\n", " ").splitlines()]
    assert lines, f"make {target} does nothing"
    for words in lines:
        if words[0] == ".venv/bin/python" and words[1].endswith(".py"):
            read_by_its_parser(words, monkeypatch)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A checkout of a reader who has COCO, and nothing else."""
    folder = tmp_path_factory.mktemp("a reader")
    for name in ("config", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    write_coco(folder / "data" / "shapes", train=6, val=2, size=(64, 64), seed=0)
    return folder


def miniature(words: list[str]) -> list[str]:
    """The arguments of a short run of the same."""
    script, objects = script_of(words), "config/multineck/" in " ".join(words)
    added = list(MINIATURE[script])
    if script.endswith(".py") and ("/" not in script or "collect" in script):
        distilled = objects and "_to_" in " ".join(words)
        options = [*BOXES, SIX, *(TEACHERS * distilled), "data.batch_size=2"] if objects else TEXT
        added += ["--cfg-options", *DATA, *options]
    elif script == "tools/browse_dataset.py":
        added += ["--cfg-options", *TEXT]
    return [*words[1:], *added]


def test_the_readme_in_miniature(workplace, monkeypatch):
    """From the first command to the last, full-size networks on small images; synthetic data before what needs them."""
    monkeypatch.setattr("conftest.ROOT", workplace)
    shown = [words for page, words in COMMANDS if page == "README.md" and script_of(words) in MINIATURE]
    commands = [words for words in shown if words != ["python", "-m", "eval"]]  # the program as such
    commands.sort(key=lambda words: script_of(words) != "tools/make_synthetic.py")
    student, ran = workplace / "work_dirs" / "kkd_distill_ctw" / "checkpoint_last.pth.tar", set()
    for words in commands:
        arguments = miniature([str(student) if word == PLACEHOLDERS["CHECKPOINT"] else word for word in words])
        found = [sorted(map(str, workplace.glob(word))) if "*" in word else [word] for word in arguments]
        first, *rest = [word for group in found for word in group]
        run_script(first if first == "-m" else ROOT / first, *rest)
        ran.add(script_of(words))
    assert ran == {*MINIATURE} - {"tools/make_synthetic_coco.py", "benchmarks/gain_report.py"}
    assert torch.load(student, weights_only=True)["config"]["distiller"]["type"] == "KernelMaskDistiller"
    runs = workplace / "work_dirs"
    assert (runs / "kkd_r18_ctw" / "results.json").is_file() and len(list((workplace / "pictures").iterdir())) == 3
    assert (runs / "kkd_distill_ctw" / "batch_eval" / "scores.csv").is_file()
    assert (runs / "multineck_faster_cascade_r101_to_faster_r50_coco" / "checkpoint_last.pth.tar").is_file()


@needs_packages
@pytest.mark.parametrize("page", ["README.md", "docs/predict.md"])
def test_the_lines_of_python(page, tmp_path, monkeypatch, capsys):
    [lines] = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    bright_network(tmp_path / "light_m.onnx")
    cv2.imwrite(str(tmp_path / "photo.jpg"), picture(96, 160, (16, 16, 80, 48)))
    monkeypatch.chdir(tmp_path)
    exec(lines, {})
    score, _, polygon = capsys.readouterr().out.partition(" ")
    assert float(score) > 0.9 and len(ast.literal_eval(polygon)) == 4


def test_the_other_short_commands(workplace, monkeypatch):
    monkeypatch.setattr("conftest.ROOT", workplace)
    for page, words in COMMANDS:
        if page not in ("README.md", *READ_ONLY) and script_of(words) == "benchmarks/gain_report.py":
            run_script(ROOT / words[1], *words[2:])
    shutil.rmtree(workplace / "data" / "shapes")
    run_script(ROOT / "tools/make_synthetic_coco.py", "data/shapes", *MINIATURE["tools/make_synthetic_coco.py"])
