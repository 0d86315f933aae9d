"""The report of `make demo-multineck`: scores, curves, class centres, and the masks of the object term."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from dataset import CocoDataset, collate_objects, read_image
from distillation import MultiNeckDistiller
from distillation.multineck.centers import load_centers
from engine.experiment import Experiment
from engine.report.page import Html, element, picture, plot, table, write_page
from engine.training.run import build_learner
from engine.training.stages import centers_path, features_path
from engine.visualise import denormalise, draw_objects
from tools.demo.text_report import figure, read_log, row

EXAMPLES = 6
PICTURES = "pictures"
FEATURES = "features"  # of the teachers, and their class centres
LEVELS = ("P2", "P3")
TAUGHT = ("branch", "merged")  # what the names of distillation terms begin with


def write_report(out: Path, summary: Mapping[str, Any], configs: Mapping[str, Experiment]) -> None:
    """Writes OUT/report.html from the runs in OUT/NAME, trained by their configs."""
    scores = [[name.replace("_", " "), *(f"{value:.4f}" for value in summary[name].values())] for name in configs]
    cfg = configs["student"]
    dataset = cfg.task.train_set(cfg.data.train, seed=0)
    learner = build_learner(cfg, dataset)
    seconds = [[step.replace("_", " "), f"{value:.0f}"] for step, value in summary["seconds"].items()]
    parts = [
        element("p", "Two teachers and a student with a multi-neck, each branch of which learns from one teacher; and "
                "the same student on its own. Trained and tested on synthetic shapes, scored as COCO does on images "
                "that none has seen. One seed: this shows that the path works, not what distillation gains."),
        table(["", *next(iter(summary.values()))], scores),
        element("p", element("b", comparison(summary))),
        element("h2", "Training"),
        plot(_curves({name: out / name for name in configs})),
        element("h2", "What each teacher taught"),
        element("p", "The terms of the student's branches, and of the merged pyramid that RPN and heads use: the "
                "weight of each, and its weighted loss at the beginning and at the end of the training (means of a "
                "tenth of it). Maps compared: "
                f"{'standardised' if learner.branches[0].standardise else 'as they are'}."),
        _terms(learner, read_log(out / "student")),
        element("h2", "Class centres"),
        element("p", "Where in its box each teacher sees an object of a class: mean over all training boxes of the 7x7 "
                "descriptors."),
        *(_centres(out, number) for number in (1, 2)),
        element("h2", "Masks of the object term"),
        element("p", "For each teacher and level: what its centres weigh, what its proposals weigh, and their product, "
                "divided by its mean, by which the squared difference of features is multiplied."),
        *_masks(learner, dataset),
        element("h2", "Unseen images"),
        element("p", "Green: ground truth. Red: detections with class and score."),
        *_examples(out, configs),
        element("h2", "Time"),
        table(["step", "seconds"], seconds),
    ]  # fmt: skip
    write_page(out / "report.html", "Multi-neck distillation demo", parts)


def comparison(summary: Mapping[str, Mapping[str, float]]) -> str:
    """What distillation changed, for better or worse; and which teachers are not better than the student alone."""
    distilled, alone = (summary[name]["ap"] for name in ("student", "student_without_distillation"))
    what = "better" if distilled > alone else "worse" if distilled < alone else "neither better nor worse"
    text = f"AP of the student distilled {distilled:.4f}, alone {alone:.4f}: distillation made it {what} here."
    for number in (1, 2):
        if (taught := summary[f"teacher{number}"]["ap"]) <= alone:
            text += f" Teacher {number} (AP {taught:.4f}) is not better than the student alone and has little to teach."
    return text


def _curves(runs: Mapping[str, Path]) -> Figure:
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    loss, score = figure.subplots(1, 2)
    for name, folder in runs.items():
        log, label = read_log(folder), name.replace("_", " ")
        own = [points for key, points in log.items() if key.startswith("loss/") and not key[5:].startswith(TAUGHT)]
        steps = own[0][:, 0]
        loss.plot(steps, sum(points[:, 1] for points in own), label=label)
        if "val/ap" in log:
            score.plot(*log["val/ap"].T, marker="o", label=label)
    loss.set(title="losses of the detector's own task", xlabel="step", yscale="log")
    score.set(title="AP on the test split", xlabel="step", ylim=(0, None))
    loss.legend(fontsize=7)
    score.legend(fontsize=7)
    return figure


def _centres(out: Path, number: int) -> Html:
    centers = load_centers(centers_path(features_path(out / FEATURES, number)))
    drawing = Figure(figsize=(11, 2), layout="constrained")
    span = dict(vmin=centers.descriptors.min(), vmax=centers.descriptors.max())
    for axis, label, centre in zip(drawing.subplots(1, len(centers.labels)), centers.labels, centers.descriptors):
        axis.imshow(centre.reshape(7, 7), **span)
        axis.set_title(centers.provenance.classes[label - 1], fontsize=9)
        axis.set_axis_off()
    return figure(plot(drawing), f"teacher {number}")


def _terms(learner: MultiNeckDistiller, log: Mapping[str, np.ndarray]) -> Html:
    """Weights and losses of all terms, branch by branch, then those of the merged pyramid."""
    sets = [(f"teacher {i}", f"branch {i}", f"branch{i}", own) for i, own in enumerate(learner.branches, 1)]
    if learner.merged is not None:
        sets.append((f"teacher {learner.merged_teacher + 1}", "merged pyramid", "merged", learner.merged))
    rows = []
    for teacher, place, prefix, own in sets:
        for name, weight in own.levels[0].weights.items():
            if weight == 0:
                continue
            values = log[f"loss/{prefix}_{name}"][:, 1]
            tenth = max(1, len(values) // 10)
            ends = (f"{part.mean():.4f}" for part in (values[:tenth], values[-tenth:]))
            rows.append([teacher, place, name, f"{weight:.3g}", *ends])
    return table(["from", "to", "term", "weight", "at the beginning", "at the end"], rows)


@torch.no_grad()
def _masks(learner: MultiNeckDistiller, dataset: CocoDataset) -> list[Html]:
    """The masks of both teachers over one training image, as the learner of the distillation makes them."""
    batch = collate_objects(
        [max((dataset[i] for i in range(min(20, len(dataset)))), key=lambda sample: len(sample.record.boxes))]
    )
    image = denormalise(batch.images[0].numpy())
    boxes = batch.targets[0]["boxes"].numpy()
    rows = [row([_picture(draw_objects(image, boxes, {}), "training image")])]
    for index, teacher in enumerate(learner.teachers):
        taught = teacher(batch.images, batch.sizes)
        levels = taught.branches[0]
        kinds = {}
        for name, use in {"centres": (True, False), "proposals": (False, True), "product": (True, True)}.items():
            learner.use_centres, learner.use_proposals = use
            kinds[name] = learner.object_masks(index, levels, taught.detections, batch.targets)
        for number, name in enumerate(LEVELS):
            rows.append(row([_heat(kinds[k][number][0].numpy(), f"teacher {index + 1}, {name}: {k}") for k in kinds]))
    return rows


def _heat(mask: np.ndarray, caption: str) -> Html:
    drawing = Figure(figsize=(3.6, 3), layout="constrained")
    axis = drawing.subplots()
    drawing.colorbar(axis.imshow(mask), ax=axis)
    axis.set_axis_off()
    return figure(plot(drawing), caption)


def _examples(out: Path, names: Iterable[str]) -> list[Html]:
    """The pictures that test.py has drawn, all models side by side."""
    folders = {name: out / f"{name}_test" / PICTURES for name in names}
    files = sorted(path.name for path in next(iter(folders.values())).iterdir())[:EXAMPLES]
    return [
        row([_picture(read_image(folder / file), name.replace("_", " ")) for name, folder in folders.items()])
        for file in files
    ]


def _picture(image: np.ndarray, caption: str) -> Html:
    return figure(picture(image, caption, max(image.shape[:2])), caption)
