"""The documents carry the figures of the files in benchmarks/results."""

import json
import sys

import numpy as np
import pytest
from conftest import ROOT
from tables import cells

sys.path.insert(0, str(ROOT / "benchmarks"))

import precision
from gain_learners import Learner
from gain_report import ALONE, TEACHER, Gain, gain, read_runs, table

HEADLINES = {
    "light_earlier": (TEACHER, ALONE, "light_soft"),
    "shapes": (ALONE, "distill", "shapes_fgd", "shapes_multineck"),
    "shapes_long": (ALONE, "distill", "shapes_fgd"),
}
PAGES = {
    "light_s": "results",
    "synthetic": "results",
    "icdar2015": "results",
    "shapes": "multineck",
    "shapes_long": "multineck",
    "shapes_imagenet": "multineck",
}
EARLIER = {"light_earlier": "results"}  # before a setting of the students was changed
OPTIONS = {"shapes_long": {"epoch": 9}}  # of all students of a study, by its command


@pytest.mark.parametrize("study", [*PAGES, *EARLIER])
def test_the_page_of_results_carries_the_figures_of_the_files(study):
    runs, control = read_runs(ROOT / f"benchmarks/results/gain_{study}.json")
    page = (ROOT / f"docs/{(PAGES | EARLIER)[study]}.md").read_text()
    assert f"<!-- {study} -->\n{table(runs, control)}\n" in page


@pytest.mark.parametrize("study", [*PAGES])
def test_a_study_has_the_learners_of_its_list_in_its_order(study):
    """Or as many of them as were run by now."""
    runs, _ = read_runs(ROOT / f"benchmarks/results/gain_{study}.json")
    listed = [Learner.parse(text).name for text in (ROOT / f"benchmarks/studies/{study}.txt").read_text().split()]
    learners = list(dict.fromkeys(run.learner for run in runs))
    first = learners.index(ALONE)
    assert learners[:first] == ([f"{TEACHER} 1", f"{TEACHER} 2"] if PAGES[study] == "multineck" else [TEACHER])
    assert learners[first + 1 :] == [name for name in listed if name in learners]


@pytest.mark.parametrize("study", [*PAGES])
def test_the_student_of_a_study_is_that_of_the_configs_as_they_are(study):
    """A setting that is changed makes the page stale."""
    measured = json.loads((ROOT / f"benchmarks/results/gain_{study}.json").read_text())["student"]
    now = Learner.parse((ROOT / f"benchmarks/studies/{study}.txt").read_text().split()[0].split("*")[-1]).base
    measured["data"]["root"] = now["data"]["root"] = None
    if study in OPTIONS:
        now["train_cfg"] |= OPTIONS[study]
    for section in ("model", "loss", "data", "train_cfg", "test_cfg"):
        assert measured.get(section) == now.get(section), section


@pytest.mark.parametrize("study", [*HEADLINES])
def test_the_headline_of_the_readme_is_that_of_the_study(study):
    rows = cells(table(*read_runs(ROOT / f"benchmarks/results/gain_{study}.json")))
    readme = " ".join((ROOT / "README.md").read_text().split())
    for learner in HEADLINES[study]:
        assert f"{rows[learner][1]}" in readme, learner


def test_the_gains_in_the_text_are_those_of_the_studies():
    """Differences from the student alone, with their intervals, as the texts say them: without a plus."""
    rows = cells(table(*read_runs(ROOT / "benchmarks/results/gain_light_earlier.json")))
    readme = " ".join((ROOT / "README.md").read_text().split()).replace("+", "")
    soft, control = (rows[name][6:9] for name in ("light_soft", "light_m loss.dense_weight=2"))
    for text in (*soft, *control[:2]):
        assert f" {text.replace('+', '')}" in readme.replace("(", " "), text
    runs, _ = read_runs(ROOT / "benchmarks/results/gain_light_earlier.json")
    of = {name: [run for run in runs if run.learner == name] for name in rows}
    at_4e3, soft_4e3 = (f"{name} train_cfg.lr=4e-3" for name in ("light_m", "light_soft"))
    means = [rows[name][1].split()[0] for name in (at_4e3, soft_4e3)]
    assert "({} at 4e-3, two seeds; soft maps {})".format(*means) in readme
    page = " ".join((ROOT / "docs/results.md").read_text().split())
    more = gain(of[at_4e3], of[ALONE]).mean
    assert f"At 4e-3 the student alone has {means[0]} with seeds 0 and 1, {more:.1f} points more" in page
    same_seeds = [run for run in of["light_soft"] if run.seed < 2]
    assert f"as much as soft maps there ({50 * sum(run.scores['hmean'] for run in same_seeds):.2f})" in page
    assert f"at 1e-3 {rows['light_m train_cfg.lr=1e-3'][1].split()[0]}. Soft maps at 4e-3 have {means[1]}:" in page
    up, down = gain(of[soft_4e3], of[at_4e3]).differences
    assert f"{up:.1f} points above the student alone at that rate with seed 0, {-down:.1f} below it with seed 1" in page


def gains(study: str, *learners: str, base: str = ALONE) -> list[Gain]:
    """Differences from `base` of each."""
    runs, _ = read_runs(ROOT / f"benchmarks/results/gain_{study}.json")
    of = {name: [run for run in runs if run.learner == name] for name in (base, *learners)}
    return [gain(of[learner], of[base]) for learner in learners]


def words(path: str) -> str:
    """A document as one line."""
    return " ".join((ROOT / path).read_text().split())


def test_the_gains_of_object_detectors_in_the_text_are_those_of_the_studies():
    page, multineck = words("docs/multineck.md"), "shapes_multineck"
    branches = f"{multineck} weights=[1.0,0.0]", f"{multineck} weights=[0.0,1.0]"
    for study, learner, says in (
        ("shapes", "shapes_fgd", "FGD of standardised maps gains {} points, with every seed"),
        ("shapes", "distill", "the multi-neck of the demo gains {}, with every seed"),
        ("shapes", multineck, "both at once cost {},"),
        ("shapes", branches[0], "that of the other {},"),
        ("shapes", branches[1], "The branch of the better teacher alone gains {} points"),
        ("shapes_long", "shapes_fgd", "FGD gains {} points, with every seed"),
        ("shapes_long", "distill", "the multi-neck of the demo {}, with every seed"),
        ("shapes_imagenet", "shapes_imagenet_fgd", "{} points by FGD"),
        ("shapes_imagenet", "shapes_imagenet_multineck", "and {} by the settings of the demo"),
        ("shapes_earlier", "shapes_fgd", "seemed to gain {} points (FGD)"),
        ("shapes_earlier", "distill", "and {} (the multi-neck of the demo)"),
    ):
        [found] = gains(study, learner)
        assert says.format(f"{abs(found.mean):.1f}") in page, (study, learner)
        assert "every seed" not in says or min(found.differences) > 0, (study, learner)
    rates = [
        cells(table(*read_runs(ROOT / f"benchmarks/results/gain_{study}.json")))
        for study in ("shapes_earlier", "shapes")
    ]
    assert "rises from {:.1f} to {:.1f}".format(*(float(rows[ALONE][1].split()[0]) for rows in rates)) in page


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
