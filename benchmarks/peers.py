"""Our exported text detectors beside PP-OCRv6 small of the package rapidocr, on the same images and in one process.

The images have labels in the format of ICDAR 2015, and hmean is that of its official rule. `network` is the time of the
network alone, `pipeline` that from the image file to polygons, both with batch 1: medians over images and repetitions,
of which each runs all detectors in turn on one image after the other. CPU time is that of all threads. rapidocr has the
settings that it comes with, and its recognition is left out; its detector is made for lines of text, and the labels of
ICDAR 2015 are words.

rapidocr depends on a package that replaces opencv-python: pip install --no-deps -r requirement-peers.txt
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import cv2
import numpy as np
from harness import machine

from command_line import Parser, run
from engine.inference import Predictor
from engine.inference.runtimes import RUNTIMES
from errors import InputError
from eval import PROTOCOLS, judge
from eval.files import write_json
from eval.formats import GroundTruth
from files import IMAGE_SUFFIXES

PEER = "PP-OCRv6 small"
DATA = Path("data/ICDAR2015/Challenge4")
_SETTLE = 0.05  # seconds in which threads that wait busily for more work go to sleep
_COLUMNS = (
    "model", "runtime", "threads", "input", "hmean", "precision", "recall",
    "network ms", "network CPU ms", "pipeline ms", "pipeline CPU ms",
)  # fmt: skip


class Detector(NamedTuple):
    """A detector in a runtime.

    Attributes:
        model, runtime, threads: what it is.
        scored: False for a network that was not trained, whose detections mean nothing.
        prepare: image file to network input (1, 3, H, W).
        network: the network alone, of such an input.
        detect: image file to (points, 2) polygons in pixels of the image.
    """

    model: str
    runtime: str
    threads: int
    scored: bool
    prepare: Callable[[Path], np.ndarray]
    network: Callable[[np.ndarray], Any]
    detect: Callable[[Path], Sequence[np.ndarray]]


class Time(NamedTuple):
    """Milliseconds of the clock, and of the processor in all threads."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Row:
    """One line of the table: see Detector; `size` is (height, width) of the most frequent network input."""

    model: str
    runtime: str
    threads: int
    size: tuple[int, int]
    hmean: float | None
    precision: float | None
    recall: float | None
    network: Time
    pipeline: Time


@dataclass
class _Runs:
    networks: list[Time] = field(default_factory=list)
    pipelines: list[Time] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    found: dict[str, Sequence[np.ndarray]] = field(default_factory=dict)


def ours(path: Path, runtime: str, threads: int, scored: bool) -> Detector:
    """A file of export.py."""
    predictor = Predictor.load(path, runtime, threads=threads, workers=0, upright=False, bbox_type="rect")

    def prepare(file: Path) -> np.ndarray:
        job = predictor.read(file)
        if job.error is not None:
            raise job.error
        return job.image[None]

    def detect(file: Path) -> list[np.ndarray]:
        return [detection.polygon for detection in predictor(file)]

    return Detector(path.stem, runtime, threads, scored, prepare, predictor.network, detect)


def peer(runtime: str, threads: int) -> Detector:
    """The text detector of rapidocr, from the file in its package."""
    import rapidocr
    from rapidocr.ch_ppocr_det import TextDetector

    engine, option = {
        "onnx": ("onnxruntime", "intra_op_num_threads"),
        "openvino": ("openvino", "inference_num_threads"),
    }[runtime]
    params = {
        "Global.log_level": "error",
        "Det.engine_type": rapidocr.EngineType(engine),
        "Det.model_path": str(Path(rapidocr.__file__).parent / "models" / "PP-OCRv6_det_small.onnx"),
        f"EngineConfig.{engine}.{option}": threads,
    }
    settings = rapidocr.RapidOCR(params=params).cfg
    settings.Det.engine_cfg = settings.EngineConfig[engine]
    detector = TextDetector(settings.Det)

    def detect(file: Path) -> Sequence[np.ndarray]:
        boxes = detector(cv2.imread(str(file))).boxes
        return [] if boxes is None else boxes

    def prepare(file: Path) -> np.ndarray:
        return detector.get_preprocess()(cv2.imread(str(file)))

    return Detector(PEER, runtime, threads, True, prepare, detector.session, detect)


def timed(function: Callable[[Any], Any], argument: Any) -> tuple[Any, Time]:
    """What a function returns, and how long it takes."""
    time.sleep(_SETTLE)
    wall, cpu = time.perf_counter(), time.process_time()
    value = function(argument)
    return value, Time(1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu))


def measure(
    detectors: Sequence[Detector], images: Sequence[Path], truth: Mapping[str, GroundTruth], repeats: int
) -> Iterator[Row]:
    """Rows of all detectors, measured in turn.

    Args:
        images: image files, whose stems are the keys of `truth`.
        repeats: how often each detector runs on each image.
    """
    runs = [_Runs() for _ in detectors]
    for _ in range(repeats):
        for image in images:
            for detector, own in zip(detectors, runs):
                batch = detector.prepare(image)
                if batch.shape[2:] not in own.sizes:
                    detector.network(batch)  # of a size that is new to it: the runtime plans and allocates
                own.sizes.append(batch.shape[2:])
                own.networks.append(timed(detector.network, batch)[1])
                own.found[image.stem], took = timed(detector.detect, image)
                own.pipelines.append(took)
    for detector, own in zip(detectors, runs):
        scores: dict[str, float | None] = dict.fromkeys(("hmean", "precision", "recall"))
        if detector.scored:
            summary = judge("icdar2015", truth, own.found).summary()
            scores = {name: summary[name] for name in scores}
        network, pipeline = (Time(*map(median, zip(*times))) for times in (own.networks, own.pipelines))
        size = max(own.sizes, key=own.sizes.count)
        yield Row(
            detector.model, detector.runtime, detector.threads, size, **scores, network=network, pipeline=pipeline
        )


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown; hmean, precision and recall in percent."""
    lines = [f"| {' | '.join(_COLUMNS)} |", "| --- " * len(_COLUMNS) + "|"]
    for row in rows:
        scores = ["-" if score is None else f"{100 * score:.1f}" for score in (row.hmean, row.precision, row.recall)]
        times = [f"{value:.1f}" for value in (*row.network, *row.pipeline)]
        size = "{}x{}".format(*row.size)
        lines.append(f"| {' | '.join([row.model, row.runtime, str(row.threads), size, *scores, *times])} |")
    return "\n".join(lines)


def labelled(images: Path, labels: Path, every: int) -> tuple[list[Path], dict[str, GroundTruth]]:
    """Image files whose number is divisible by `every`, and the ground truth of all.

    Raises:
        InputError: no image, or an image without a label file.
    """
    truth = PROTOCOLS["icdar2015"].read_ground_truth(labels)
    files = sorted(path for path in images.glob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    files = [path for path in files if every == 1 or int("0" + re.sub(r"\D", "", path.stem)) % every == 0]
    if not files:
        raise InputError(f"--images {images}: no such folder, or no image in it")
    for path in files:
        if path.stem not in truth:
            raise InputError(f"--labels {labels}: no label file for {path.name}, such as gt_{path.stem}.txt")
    return files, truth


def main(args: argparse.Namespace) -> None:
    if not args.without_peer and find_spec("rapidocr") is None:
        raise InputError("rapidocr is not installed: pip install --no-deps -r requirement-peers.txt, or --without-peer")
    images, truth = labelled(args.images, args.labels, args.every)
    detectors = []
    for runtime in args.runtimes:
        for threads in args.threads:
            detectors += [ours(path, runtime, threads, True) for path in args.models]
            detectors += [ours(path, runtime, threads, False) for path in args.speed_only]
            detectors += [] if args.without_peer else [peer(runtime, threads)]
    if not detectors:
        raise InputError("nothing to measure: name a file of export.py")
    rows = list(measure(detectors, images, truth, args.repeats))
    about = machine() | {"images": len(images), "repeats": args.repeats}
    print("".join(f"{name}: {value}\n" for name, value in about.items()), table(rows), sep="\n")
    if args.json:
        write_json(args.json, {"machine": about, "rows": [asdict(row) for row in rows]})


if __name__ == "__main__":
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", metavar="MODEL.onnx", nargs="*", type=Path, help="files of export.py")
    parser.add_argument(
        "--speed-only", metavar="MODEL.onnx", nargs="+", type=Path, default=[], help="untrained: timed, but not scored"
    )
    parser.add_argument(
        "--images", type=Path, metavar="DIR", default=DATA / "ch4_test_images", help="default: %(default)s"
    )
    parser.add_argument(
        "--labels", type=Path, metavar="DIR", default=DATA / "ch4_test_localization_transcription_gt",
        help="gt_NAME.txt of each image; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--every", type=int, default=1, metavar="N",
        help="only images whose number is divisible by N: 10 for the split 'validation' of the training images",
    )  # fmt: skip
    parser.add_argument("--runtimes", nargs="+", choices=RUNTIMES, default=list(RUNTIMES))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], metavar="N", help="default: 1 2")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="runs on each image (default 3)")
    parser.add_argument("--without-peer", action="store_true", help="our own models alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    run(main, parser)
