"""The arithmetic of a study of what distillation buys."""

import sys

import numpy as np
import pytest
from conftest import ROOT, run_script
from scipy import stats
from tables import cells

sys.path.insert(0, str(ROOT / "benchmarks"))

from gain_report import ALONE, TEACHER, Run, gain, scores_of, table, write_plot


def run_of(learner: str, seed: int, hmean: float, seconds: float = 60.0, counts: tuple = ()) -> Run:
    return Run(learner, seed, seconds, {"hmean": hmean}, counts)


def test_table_of_hand_computed_scores():
    scores = {TEACHER: (0.80, 0.90), ALONE: (0.60, 0.70), "kkd": (0.70, 0.72), "worse": (0.55, 0.71)}
    runs = [run_of(name, seed, value) for name, values in scores.items() for seed, value in enumerate(values)]
    rows = cells(table(runs[::-1][:4] + runs[:4]))  # in any order
    assert rows[TEACHER] == ["2", "85.00 ± 7.07", "+20.00 (+20.00 to +20.00), 2 of 2", "1.0"]
    assert rows[ALONE] == ["2", "65.00 ± 7.07", "", "1.0"]
    # 10 and 2: a mean of 6 with a standard error of 4; Student's t of one degree of freedom is 12.706
    assert rows["kkd"] == ["2", "71.00 ± 1.41", "+6.00 (-44.82 to +56.82), 2 of 2", "1.0"]
    assert rows["worse"][2] == "-2.00 (-40.12 to +36.12), 1 of 2"


def test_differences_are_of_common_seeds():
    runs = [run_of(ALONE, seed, value) for seed, value in enumerate((0.5, 0.6, 0.7))]
    rows = cells(table([run_of(TEACHER, 0, 0.8), *runs, run_of("kkd", 0, 0.6), run_of("kkd", 1, 0.8)]))
    assert rows[TEACHER] == ["1", "80.00", "+30.00, 1 of 1", "1.0"]
    assert rows["kkd"][2].startswith("+15.00 (") and rows["kkd"][2].endswith(", 2 of 2")  # 10 and 20
    assert gain([run_of("kkd", 3, 0.5)], runs) is None


def test_the_control_has_columns_of_its_own():
    scores = {ALONE: (0.60, 0.70), "control": (0.65, 0.75), "soft": (0.70, 0.79)}
    runs = [run_of(name, seed, value) for name, values in scores.items() for seed, value in enumerate(values)]
    text = table(runs, "control")
    assert text.splitlines()[0].count("minus control") == 1
    assert cells(text)["soft"][3].startswith("+4.50 (") and cells(text)["control"][3] == ""
    assert "control" not in table(runs).splitlines()[0]


def test_the_interval_over_images_is_that_of_their_draws():
    """Two kinds of images, of which one learner finds the text of both and the other that of one."""
    rng = np.random.default_rng(5)
    found = rng.random(60) < 0.6
    ours = [[1, 1, 1, 1]] * 60
    theirs = [[1, 1, int(f), int(f)] for f in found]
    counts = {"ours": ours, ALONE: theirs}
    hmeans = {"ours": 1.0, ALONE: float(found.mean())}
    runs = {name: [run_of(name, 0, hmeans[name], counts=counts[name])] for name in counts}
    result = gain(runs["ours"], runs[ALONE])
    assert result.mean == pytest.approx(100 * (1 - found.mean()))
    # The number found among 60 images that are drawn is binomial.
    expected = [100 * (1 - stats.binom.ppf(p, 60, found.mean()) / 60) for p in (0.975, 0.025)]
    assert result.images == pytest.approx(expected, abs=2)
    assert result.seeds is None


def measured(scores: np.ndarray, true: np.ndarray, truths: list[int]) -> dict:
    """What gain_measure.py finds of images with detections of these scores, each true or false."""
    counts = {}
    for image in range(len(truths)):
        rows = []
        for threshold in (0.0, 0.3, 0.6):
            kept = scores[image] >= threshold
            hits = int((kept & true[image]).sum())
            rows.append([truths[image], int(kept.sum()), hits, hits])
        counts[f"img_{image}"] = [rows]
    return {"thresholds": [0.0, 0.3, 0.6], "counts": counts, "pixel_ap": {"text": 0.7, "kernel": 0.4}}


def test_the_threshold_of_an_image_is_chosen_by_the_other_half():
    # Of even images 0.6 is best, of odd ones 0.3.
    scores = np.array([[0.9, 0.4], [0.9, 0.4], [0.9, 0.4], [0.9, 0.4]])
    true = np.array([[True, False], [True, True], [True, False], [True, True]])
    found, counts = scores_of(measured(scores, true, [1, 2, 1, 2]))
    assert counts == [[1, 2, 1, 1], [2, 1, 1, 1], [1, 2, 1, 1], [2, 1, 1, 1]]
    precision, recall = 4 / 6, 4 / 6
    assert found["hmean"] == pytest.approx(2 * precision * recall / (precision + recall))
    assert (found["pixel_ap_text"], found["pixel_ap_kernel"]) == (0.7, 0.4)
    assert found["ap"] == pytest.approx(1.0 * 4 / 6 + (6 / 8) * 2 / 6)  # recall 4/6 at 0.6, all at 0.3

    # With other thresholds of pixels that are perfect for the odd images, which the even ones then have.
    more = measured(scores, true, [1, 3, 1, 3])
    found, _ = scores_of(more)
    assert found["hmean_usual"] == found["hmean"]
    for name, other in more["counts"].items():
        other.append([[1, 0, 0, 0], [3, 3, 3, 3] if name in ("img_1", "img_3") else [1, 1, 0, 0], [1, 0, 0, 0]])
    better, counts = scores_of(more)
    assert counts == [[1, 1, 0, 0], [3, 1, 1, 1], [1, 1, 0, 0], [3, 1, 1, 1]]
    assert (better["hmean_usual"], better["ap"]) == (found["hmean"], found["ap"])


def test_plot_of_any_number_of_learners(tmp_path):
    for count in (1, 5):
        names = [TEACHER, ALONE, *(f"learner {i}" for i in range(count))]
        write_plot([run_of(name, seed, 0.1 * seed) for name in names for seed in range(3)], tmp_path / "plot.png")
        assert (tmp_path / "plot.png").stat().st_size > 5000


@pytest.mark.parametrize("content", ["text", "[]", '{"runs": [{"learner": "kkd"}]}', '{"runs": 5}'])
def test_what_is_no_study_is_one_line(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    assert "is no results.json of distillation_gain.py" in run_script(
        "benchmarks/gain_report.py", tmp_path / "a.json", code=2
    )
    assert "none.json: cannot be opened" in run_script("benchmarks/gain_report.py", tmp_path / "none.json", code=2)
