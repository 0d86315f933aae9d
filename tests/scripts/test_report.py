"""Sweeps and pages of test.py and batch_eval.py; a page is opened in a browser where there is one."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import cv2
import pytest
import torch
from conftest import run_script
from stage_configs import SHAPES, write_configs

from engine.experiment import load_experiment
from engine.inference.evaluator import Evaluator
from engine.training.checkpoint import new_detector, save_checkpoint

HOSTILE = '"><img src=x onerror=alert(1)>'
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SCORES = ("precision", "recall", "hmean", "ground_truth", "predictions", "true_positives")
# Runs in a copy of the page whose policy lets it.
ALERT = "<script>window.alert = () => { window.alerted = true }</script>"
QUESTIONS = """<script>
addEventListener("load", () => {
  const shown = selector => [...document.querySelectorAll(selector)].map(e => getComputedStyle(e).display != "none");
  const said = {
    alerted: window.alerted === true,
    widths: [...document.images].map(image => image.naturalWidth),
    names: [...document.querySelectorAll("figcaption b")].map(e => e.textContent),
    left: Math.max(...[...document.querySelectorAll(".stack > svg")].map(e => Math.abs(
      e.getBoundingClientRect().width - e.previousSibling.getBoundingClientRect().width))),
    before: [shown(".maps"), shown("polygon.false")],
  };
  document.getElementById("show-maps").click();
  document.getElementById("show-false").click();
  said.after = [shown(".maps"), shown("polygon.false")];
  document.body.append(Object.assign(document.createElement("pre"), {id: "said", textContent: JSON.stringify(said)}));
});
</script>"""


@pytest.fixture(scope="module")
def data(ctw_root, tmp_path_factory) -> Path:
    """A data set in which one name is an attack."""
    root = Path(shutil.copytree(ctw_root, tmp_path_factory.mktemp("hostile") / "ctw"))
    for folder in ("text_image", "text_label_curve"):
        last = sorted((root / "test" / folder).iterdir())[-1]
        last.rename(last.with_name(HOSTILE + last.suffix))
    return root


@pytest.fixture(scope="module")
def checkpoint(configs, tmp_path_factory) -> Path:
    """Of an untrained student that finds several regions, of scores from 0.5 to 1."""
    path = tmp_path_factory.mktemp("untrained") / "checkpoint_1ep.pth.tar"
    cfg = load_experiment(configs["student"])
    torch.manual_seed(1)
    save_checkpoint(path, new_detector(cfg.model).state_dict(), cfg.config, 1, {})
    return path


@pytest.fixture(scope="module")
def command(configs, checkpoint, data):
    """Runs test.py with further options."""

    def run(work: Path, *options: object, min_score: float = 0.75, code: int = 0) -> str:
        entries = [f"data.root={data}", "test_cfg.min_area=0", f"test_cfg.min_score={min_score}"]
        common = ["--device", "cpu", "--work-dir", work, "--cfg-options", *entries]
        return run_script("test.py", configs["student"], checkpoint, *common, *options, code=code)

    return run


@pytest.fixture(scope="module")
def reported(command, tmp_path_factory) -> Path:
    """Folder of a test with a page."""
    folder = tmp_path_factory.mktemp("reported")
    command(folder, "--report", folder / "page.html", "--report-images", 2)
    return folder


def scores_of(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def files_of(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (folder / "submit_ctw").iterdir()}


def test_a_sweep_scores_what_test_py_scores(command, reported, tmp_path):
    swept = scores_of(reported)
    rows = {row["min_score"]: row for row in swept["sweep"]["thresholds"]}
    for number, threshold in enumerate((0.75, 0.6)):
        folder = tmp_path / str(number)
        command(folder, min_score=threshold)
        plain = scores_of(folder)
        assert {key: rows[threshold][key] for key in SCORES} == {key: plain[key] for key in SCORES}
        assert plain["predictions"] > 0 and "sweep" not in plain
    assert rows[0.6]["predictions"] > rows[0.75]["predictions"]
    command(tmp_path, min_score=0.75)
    again = scores_of(tmp_path)
    assert {**swept, **{key: again[key] for key in ("result_path",)}} == {**again, "sweep": swept["sweep"]}
    assert files_of(reported) == files_of(tmp_path)


def test_sweep_alone_prints_and_stores_the_best(command, tmp_path):
    output = command(tmp_path, "--sweep", min_score=0.755)
    assert "<- configured" in output and "best threshold on CTW1500 test: test_cfg.min_score=" in output
    assert "looks better than it is" in output
    sweep = scores_of(tmp_path)["sweep"]
    assert sweep["split"] == "CTW1500 test" and len(sweep["thresholds"]) == 101  # the configured one beside the others
    assert sweep["best"] in sweep["thresholds"]
    assert sweep["best"]["hmean"] == max(row["hmean"] for row in sweep["thresholds"])
    assert not list(tmp_path.glob("*.html"))


def test_the_page_lists_all_images_and_shows_some(reported):
    page = (reported / "page.html").read_text()
    scores = scores_of(reported)
    assert page.count('<figure id="image-') == 2 and page.count('href="#image-') == 2
    for name, row in scores["per_image"].items():
        assert f">{html.escape(name)}<" in page and f"<td>{row['predictions']}</td>" in page
    assert f"<td>{scores['hmean']:.4f}</td>" in page and "choose it on a validation split" in page
    assert not re.search(r"(src|href)=\"(?!data:image/|#)", page) and "url(" not in page and "@import" not in page
    assert HOSTILE not in page and "<script" not in page


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome to open the page in")
def test_a_browser_shows_the_page(reported, tmp_path):
    page = (reported / "page.html").read_text()
    policy = "default-src 'none'"
    assert page.count(policy) == 1  # no script may run
    page = page.replace(policy, f"{policy}; script-src 'unsafe-inline'").replace("<title>", f"{ALERT}<title>")
    (tmp_path / "page.html").write_text(page.replace("</body>", f"{QUESTIONS}</body>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1000,1600", f"--user-data-dir={tmp_path}"]
    options += [f"--screenshot={tmp_path / 'shot.png'}", "--dump-dom", (tmp_path / "page.html").as_uri()]
    shown = subprocess.run([BROWSER, *options], capture_output=True, text=True, timeout=120, check=True).stdout
    said = json.loads(html.unescape(re.search(r'<pre id="said">(.*?)</pre>', shown, re.DOTALL)[1]))
    assert not said["alerted"]
    assert len(said["widths"]) == 1 + 2 * 3 and min(said["widths"]) > 0  # the plot; each picture, its maps
    worst = re.findall(r"<b>(.*?)</b>", page)
    assert said["names"] == list(map(html.unescape, worst)) and HOSTILE in said["names"]
    assert said["left"] < 1  # outlines lie on their picture
    maps, false = said["before"]
    assert maps == [False, False] and false and all(false)
    maps, false = said["after"]
    assert maps == [True, True] and not any(false)
    picture = cv2.imread(str(tmp_path / "shot.png"))
    assert picture.shape[:2] == (1600, 1000) and picture.std() > 10


def test_batch_eval_reports_all_checkpoints_and_the_best(configs, checkpoint, data, tmp_path):
    folder = Path(shutil.copytree(checkpoint.parent, tmp_path / "checkpoints"))
    content = torch.load(checkpoint, weights_only=True)
    content["state_dict"]["head.conv2.bias"][0] = -20
    torch.save(content | {"epoch": 2}, folder / "checkpoint_2ep.pth.tar")
    entries = [f"data.root={data}", "test_cfg.min_area=0", "test_cfg.min_score=0.5"]
    options = ["--report", tmp_path / "page.html", "--report-images", 1, "--cfg-options", *entries]
    assert "report: " in run_script("batch_eval.py", configs["student"], folder, *options)
    page = (tmp_path / "page.html").read_text()
    assert page.count("checkpoint_2ep.pth.tar</td>") == 1 and page.count("best, shown below") == 1
    assert f"<h1>Test of {folder}/checkpoint_1ep.pth.tar</h1>" in page and page.count('<figure id="image-') == 1


def test_what_is_wrong_with_a_report_is_said_before_the_work(command, data, tmp_path, monkeypatch):
    monkeypatch.setattr(Evaluator, "predict", lambda *_, **__: pytest.fail("it was predicted first"))
    for options, message in [
        (["--report", tmp_path / "page.txt"], "is a page; give it a name that ends in .html"),
        (["--report", data / "test" / "page.html"], "which is read and would be lost"),
        (["--report", tmp_path / "p.html", "--report-images", -1], "--report-images -1: expected 0 or more"),
    ]:
        output = command(tmp_path, *options, code=2)
        assert message in output.splitlines()[-1] and "Traceback" not in output


def test_object_detectors_have_no_report(tmp_path):
    config = write_configs(tmp_path, {**SHAPES, "root": str(tmp_path)})["faster"]
    for script, options in [("test.py", ["--sweep"]), ("test.py", ["--report", "a.html"])]:
        output = run_script(script, config, "none.pth.tar", *options, code=2)
        assert f"error: {options[0]}: is for text detectors" in output
    output = run_script("batch_eval.py", config, tmp_path, "--report", "a.html", code=2)
    assert "error: --report: is for text detectors" in output
