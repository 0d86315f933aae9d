"""Gains that the texts name are those of the files in benchmarks/results."""

import sys

import pytest
from conftest import ROOT
from scipy import stats
from study_texts import gains, with_interval, words
from tables import cells

sys.path.insert(0, str(ROOT / "benchmarks"))

from gain_learners import Learner
from gain_report import ALONE, gain, read_runs, table

START = "train_cfg.pretrain=weights/light_m_icdar2015.pth.tar"


def test_the_gains_of_text_detectors_in_the_text_are_those_of_the_studies():
    """With their intervals, as the readme says them: without a plus."""
    rows = cells(table(*read_runs(ROOT / "benchmarks/results/gain_light.json")))
    [soft, control] = gains("light", "light_soft", "light_m loss.dense_weight=2")
    readme, page = words("README.md"), words("docs/results.md")
    low, high = soft.seeds
    said = f"{soft.mean:.2f} points on average, 95 % interval over seeds {low:.2f} to {high:.2f}, so no gain is shown"
    assert said in readme
    assert f"Soft maps gain {soft.mean:.1f} points, the control {control.mean:.1f}," in page
    maps = [float(rows[name][4].split()[0]) for name in (ALONE, "light_soft", "light_m loss.dense_weight=2")]
    said = f"the pixel AP of text by {maps[1] - maps[0]:.1f} points, the control by {maps[2] - maps[0]:.1f},"
    assert said in page
    [earlier] = gains("light_earlier", "light_soft")
    assert f"soft maps gained {earlier.mean:.1f} points" in page
    before = cells(table(*read_runs(ROOT / "benchmarks/results/gain_light_earlier.json")))
    at_4e3 = before["light_m train_cfg.lr=4e-3"][1].split()[0]
    assert f"with two seeds {at_4e3} at 4e-3" in page


def test_the_gains_of_the_smallest_detector_in_the_text_are_those_of_the_studies():
    page, readme = words("docs/results.md"), words("README.md")
    short, long = "train_cfg.epoch=4", "train_cfg.pretrain=weights/light_m_icdar2015.pth.tar"
    at_best = f"light_s {short} train_cfg.lr=1.6e-2", f"light_s_soft {short} train_cfg.lr=1.6e-2 feature_weight=1"
    answers = [
        gains("light_s_rate", at_best[1], base=at_best[0])[0],
        *gains(
            "light_s_rate", f"light_s_soft {short} feature_weight=1", f"light_s_kkd {short}", base=f"light_s {short}"
        ),
        *gains("light_s_rate", "light_s_soft"),
    ]
    best, usual, kkd, later = (f"{found.mean:.1f}" for found in answers)
    assert f"are worth {best} to {usual} points" in page and f"at 8e-3, {kkd}." in page
    assert f"nothing is left of that: {later}." in page
    listed = (ROOT / "benchmarks/studies/light_s_rate.txt").read_text().split()
    strong, half = gains("light_s_rate", *(Learner.parse(text).name for text in listed[-2:]))
    assert f"end {-strong.mean:.1f} points below" in page and f"of each batch {-half.mean:.1f} points below" in page
    distilled, begun = f"light_s_soft {long}", f"light_s {long}"
    whole, start, control = gains("light_s", distilled, begun, "light_s loss.dense_weight=2")
    [answer] = gains("light_s", distilled, base=begun)
    [from_imagenet] = gains("light_s", "light_s_soft")
    rows = cells(table(*read_runs(ROOT / "benchmarks/results/gain_light_s.json")))
    low, high = (f"{end:.1f}" for end in start.seeds)
    for text in (readme, page):
        assert f"{start.mean:.1f} points" in text and f"{low} to {high}" in text
    assert f"{whole.mean:.1f} points" in page
    assert f"{answer.mean:.1f} points" in page and f"{control.mean:.1f} points" in page
    assert f"From ImageNet weights they add {from_imagenet.mean:.1f} points" in page
    assert all(rows[name][1] in readme for name in (ALONE, begun, distilled))


def test_the_gains_with_few_labels_in_the_text_are_those_of_the_study():
    listed = (ROOT / "benchmarks/studies/light_s_few.txt").read_text().split()
    distilled, control, slow, fast, distilled_fast, _, short = (Learner.parse(text).name for text in listed)
    page, readme = words("docs/results.md"), words("README.md")
    both = [page, readme]
    for base, score, pages in (
        (ALONE, None, both),
        (control, None, both),
        (ALONE, "ap", both),
        (control, "ap", both),
        (ALONE, "hmean_usual", [page]),
        (control, "hmean_usual", [page]),
    ):
        [found] = gains("light_s_few", distilled, base=base, score=score)
        assert all(with_interval(found) in text for text in pages), (base, score)
    assert with_interval(*gains("light_s_few", control)) in page
    assert f"the gain is {with_interval(*gains('light_s_few', distilled_fast, base=fast))}" in page
    [above] = gains("light_s_few", distilled)
    assert "over images it is {:.1f} to {:.1f})".format(*above.images) in page
    assert (len(above.differences), sum(one > 0 for one in above.differences)) == (10, 7)  # as words there
    first, later = (
        [run for run in read_runs(ROOT / "benchmarks/results/gain_light_s_few.json")[0] if run.seed in own]
        for own in (range(5), range(5, 10))
    )
    for runs, says in ((first, "which had {}"), (later, "by themselves have {}")):
        of = {name: [run for run in runs if run.learner == name] for name in (ALONE, distilled)}
        assert says.format(with_interval(gain(of[distilled], of[ALONE]))) in page
    assert (
        "that of all ten is {:.1f} to {:.1f}.".format(
            *stats.t.interval(0.975, 9, above.mean, stats.sem(above.differences))
        )
        in page
    )
    rows = cells(table(*read_runs(ROOT / "benchmarks/results/gain_light_s_few.json")))
    everything = cells(table(*read_runs(ROOT / "benchmarks/results/gain_light_s.json")))
    begun = everything["light_s train_cfg.pretrain=weights/light_m_icdar2015.pth.tar"][1]
    assert f"the student alone has {begun} (three seeds)" in page and f"with 100, {rows[distilled][1]}" in page
    assert "({}, {} and {})".format(*(rows[name][1] for name in (slow, ALONE, fast))) in page
    assert f"at 1.6e-2, has {rows[short][1]}" in page
    assert all(rows[name][1] in readme for name in (ALONE, distilled))


@pytest.mark.parametrize(
    "learner, base, score, pages",
    [
        ("light_s_kkd", "light_s loss.dense_weight=2", None, ("docs/results.md", "README.md")),
        ("light_s_kkd", ALONE, None, ("docs/results.md", "README.md")),
        ("light_s_kkd", ALONE, "ap", ("docs/results.md",)),
        ("light_s_soft", ALONE, "ap", ("docs/results.md", "README.md")),
        ("light_s_soft", ALONE, None, ("docs/results.md",)),
        ("light_s loss.dense_weight=2", ALONE, None, ("docs/results.md",)),
        ("light_s loss.dense_weight=2", ALONE, "ap", ("docs/results.md",)),
        ("light_s_kkd mask=kernel", ALONE, None, ("docs/results.md",)),
        ("light_s_kkd mask=kernel", ALONE, "ap", ("docs/results.md",)),
    ],
)
def test_gains_after_a_quarter_of_the_steps_have_the_intervals_of_the_study(learner, base, score, pages):
    [found] = gains("light_s_start", learner, base=base, score=score)
    for page in pages:
        assert with_interval(found) in words(page), page


@pytest.mark.parametrize(
    "study, learner, base, says",
    [
        ("short", "light_s_mgd", ALONE, "{} points above the student alone"),
        ("short", "light_s_mgd", "light_s loss.dense_weight=2", "and {} above the control with both seeds"),
        ("short", "light_s_soft", ALONE, "Soft maps with features have {},"),
        ("short", "light_s loss.dense_weight=2", ALONE, "the control {},"),
        ("short", "light_s_kkd", ALONE, "KKD over regions {},"),
        ("short", "light_s_mutual", ALONE, "CML {},"),
        ("short", "light_s_dml", ALONE, "and DML is {} points below the student alone"),
        ("parts", f"light_s {START}", ALONE, "from its teacher {} points more"),
        ("parts", "light_s model.backbone.pretrained=None", ALONE, "from random weights {} less"),
        (
            "parts",
            "light_s train_cfg.pretrain=work_dirs/light_s_synthetic/checkpoint_last.pth.tar",
            ALONE,
            "from synthetic text {} more",
        ),
        ("parts", "light_s train_cfg.warmup=0", ALONE, "it loses {} points"),
        ("parts", "light_s model.neck.shared=True", ALONE, "as published, {};"),
        ("parts", "light_s model.neck.version=2", ALONE, "with its residuals, gains {}."),
        ("parts", "light_s train_cfg.ema=None", ALONE, "({} without it)"),
    ],
)
def test_gains_of_every_learner_and_part_are_those_of_the_studies(study, learner, base, says):
    [found] = gains(f"light_s_{study}", learner, base=base)
    assert says.format(f"{abs(found.mean):.1f}") in words("docs/results.md")


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
        ("shapes_long", branches[0], "the first teacher gains {} points"),
        ("shapes_long", branches[1], "and that of the second {}, each with every one of three seeds"),
        (
            "shapes",
            f"{multineck} normalisation=none",
            "such a student ended {} points below the student alone (one seed)",
        ),
        ("shapes", "shapes_pearson", "PKD gains {} points, not told from 0"),
        ("shapes_imagenet", "shapes_imagenet_fgd", "{} points by FGD"),
        ("shapes_imagenet", "shapes_imagenet_multineck", "and {} by the settings of the demo"),
        ("shapes_earlier", "shapes_fgd", "seemed to gain {} points (FGD)"),
        ("shapes_earlier", "distill", "and {} (the multi-neck of the demo)"),
    ):
        [found] = gains(study, learner)
        assert says.format(f"{abs(found.mean):.1f}") in page, (study, learner)
        assert "every" not in says or min(found.differences) > 0, (study, learner)
    rates = [
        cells(table(*read_runs(ROOT / f"benchmarks/results/gain_{study}.json")))
        for study in ("shapes_earlier", "shapes")
    ]
    assert "rises from {:.1f} to {:.1f}".format(*(float(rows[ALONE][1].split()[0]) for rows in rates)) in page
