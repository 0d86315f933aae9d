"""The documents carry the figures of the files in benchmarks/results."""

import json
import sys

import numpy as np
import pytest
from conftest import ROOT
from study_texts import words
from tables import cells

sys.path.insert(0, str(ROOT / "benchmarks"))

import precision
from gain_learners import Learner, check_comparable
from gain_report import ALONE, TEACHER, read_runs, table

HEADLINES = {
    "light": (TEACHER, ALONE, "light_soft"),
    "shapes": (ALONE, "distill", "shapes_fgd", "shapes_multineck"),
    "shapes_long": (ALONE, "distill", "shapes_fgd"),
}
PAGES = {
    "light": "results",
    "light_rate": "results",
    "light_s": "results",
    "light_s_start": "results",
    "light_s_short": "results",
    "light_s_parts": "results",
    "light_s_rate": "results",
    "light_s_imagenet_rate": "results",
    "light_s_few": "results",
    "synthetic": "results",
    "icdar2015": "results",
    "shapes": "multineck",
    "shapes_long": "multineck",
    "shapes_imagenet": "multineck",
}
GROWING = ("light_s",)  # with learners in their lists that were not run yet
EARLIER = {"light_earlier": "results"}  # before settings of the students were changed
START = "train_cfg.pretrain=weights/light_m_icdar2015.pth.tar"
SHORT = ["train_cfg.epoch=4", "train_cfg.lr=1.6e-2"]
OPTIONS = {  # of all students of a study, by its command
    "shapes_long": ["train_cfg.epoch=9"],
    "light_rate": ["data.train.split=tuning_part", "data.test.split=tuning"],
    "light_s_few": [
        "data.train.split=tuning",
        "train_cfg.epoch=144",
        "train_cfg.lr=4e-3",
        START,
    ],
    "light_s_imagenet_rate": ["data.train.split=tuning_part", "data.test.split=tuning"],
    "light_s_short": SHORT,
    "light_s_parts": SHORT,
    "light_s_start": [
        "train_cfg.epoch=4",
        "train_cfg.lr=1.6e-2",
        START,
    ],
    "light_s_rate": [
        "data.train.split=tuning_part",
        "data.test.split=tuning",
        START,
    ],
}


@pytest.mark.parametrize("study", [*PAGES, *EARLIER])
def test_the_page_of_results_carries_the_figures_of_the_files(study):
    runs, control = read_runs(ROOT / f"benchmarks/results/gain_{study}.json")
    page = (ROOT / f"docs/{(PAGES | EARLIER)[study]}.md").read_text()
    assert f"<!-- {study} -->\n{table(runs, control)}\n" in page


@pytest.mark.parametrize("study", [*PAGES])
def test_a_study_has_the_learners_of_its_list_in_its_order(study):
    runs, _ = read_runs(ROOT / f"benchmarks/results/gain_{study}.json")
    parsed = [Learner.parse(text) for text in (ROOT / f"benchmarks/studies/{study}.txt").read_text().split()]
    listed = [learner.name for learner in parsed]
    learners = list(dict.fromkeys(run.learner for run in runs))
    first = learners.index(ALONE)
    teachers = [f"{TEACHER} 1", f"{TEACHER} 2"] if PAGES[study] == "multineck" else [TEACHER]
    assert learners[:first] == (teachers if any("distiller" in learner.cfg for learner in parsed) else [])
    assert learners[first + 1 :] == [name for name in listed if name in learners or study not in GROWING]


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks/studies").glob("light*.txt")), ids=lambda path: path.stem)
def test_the_learners_of_a_list_can_be_compared(path):
    """Also of those that were not run yet."""
    learners = [Learner.parse(text, OPTIONS.get(path.stem, ())) for text in path.read_text().split()]
    assert len({learner.name for learner in learners}) == len(learners) > 1
    for learner in learners:
        check_comparable(learner, learners[0])


@pytest.mark.parametrize("study", [*PAGES])
def test_the_student_of_a_study_is_that_of_the_configs_as_they_are(study):
    """A setting that is changed makes the page stale."""
    measured = json.loads((ROOT / f"benchmarks/results/gain_{study}.json").read_text())["student"]
    first = (ROOT / f"benchmarks/studies/{study}.txt").read_text().split()[0]
    now = Learner.parse(first, OPTIONS.get(study, ())).base
    measured["data"]["root"] = now["data"]["root"] = None
    for section in ("model", "loss", "data", "train_cfg", "test_cfg"):
        assert measured.get(section) == now.get(section), section


@pytest.mark.parametrize("study", [*HEADLINES])
def test_the_headline_of_the_readme_is_that_of_the_study(study):
    rows = cells(table(*read_runs(ROOT / f"benchmarks/results/gain_{study}.json")))
    readme = words("README.md")
    for learner in HEADLINES[study]:
        assert f"{rows[learner][1]}" in readme, learner


@pytest.mark.parametrize("file, name", [("gain_gradients", "results"), ("gain_gradients_shapes", "multineck")])
def test_gradients_on_the_page_are_those_of_the_file(file, name):
    ratios = json.loads((ROOT / f"benchmarks/results/{file}.json").read_text())["ratios"]
    page = (ROOT / f"docs/{name}.md").read_text().splitlines()
    for learner, stages in ratios.items():
        for term, value in stages["start"].items():
            assert f"| {learner} | {term} | {value:.2g} | {stages['end'][term]:.2g} |" in page


@pytest.mark.parametrize("name", ["precision", "precision_small"])
def test_differences_between_precisions_on_the_page_are_those_of_the_files(name):
    content = json.loads((ROOT / f"benchmarks/results/{name}.json").read_text())
    page = (ROOT / "docs/performance.md").read_text()
    assert precision.table(content["losses"], content["options"]["last"]) in page
    if precision.SAME_WEIGHTS in content["losses"]:
        furthest = precision.largest_step(content["losses"]).split("than ")[1]
        assert f"within {furthest} in each of {np.size(content['losses'][precision.BASE])} steps" in page
