"""What a network is shown: a contact sheet of augmented samples with their targets, and the sizes of the text in them.

python tools/browse_dataset.py CONFIG takes the first training samples of an epoch, as train.py draws them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from errors import end_on_signals

if __name__ == "__main__":  # before the imports, which take seconds
    end_on_signals()

from command_line import Parser
from dataset import EpochSampler, TestSample, TextDataset, read_text_split
from dataset.text.samples import TrainSample
from dataset.text.targets import Targets, make_targets
from dataset.text.transforms import Geometry, map_points
from engine import cli
from engine.experiment import load_experiment
from engine.outputs import data_places
from engine.report.analysis import require_text
from engine.visualise import denormalise, save_picture
from errors import InputError, say
from files import check_output
from tools.support.contact_sheet import panel, sheet, tile

MAX_IMAGES = 100  # a larger sheet is more than people take in
TINY = 16  # pixels: one pixel of the network's output, at stride 4


@dataclass(frozen=True)
class Sizes:
    """Instances of one sample, in pixels of the network input.

    Attributes:
        heights: (n,) diameter of the largest circle inside an instance: the height of a line of text.
        areas: (n,) of the smallest kernel of an instance; empty for a test image, which has none.
        unshrunk: number of instances whose smallest kernel is all of their text.
        ignored: number of connected ignored regions.
    """

    heights: np.ndarray
    areas: np.ndarray
    unshrunk: int
    ignored: int


def measure(targets: Targets) -> Sizes:
    """Sizes of what the maps of one sample show."""
    heights, areas, unshrunk = [], [], 0
    for number in range(1, int(targets.instances.max(initial=0)) + 1):
        x, y, w, h = cv2.boundingRect((targets.instances == number).astype(np.uint8))
        window = np.s_[y : y + h, x : x + w]
        instance = (targets.instances[window] == number).astype(np.uint8)
        text = np.count_nonzero(instance)
        if not text:  # covered by other instances
            continue
        heights.append(_height(instance))
        if len(targets.kernels):
            areas.append(np.count_nonzero(instance & targets.kernels[-1][window]))
            unshrunk += areas[-1] == text < targets.instances.size  # a sample may show but the inside of a kernel
    ignored = cv2.connectedComponents((targets.training_mask == 0).astype(np.uint8))[0] - 1
    return Sizes(np.array(heights), np.array(areas, int), unshrunk, ignored)


def _height(instance: np.ndarray) -> float:
    """Diameter of the largest circle of pixels inside a mask (h, w); one less where the true one is even."""
    padded = cv2.copyMakeBorder(instance, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    return 2 * float(cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).max()) - 1


def first_samples(dataset: TextDataset, seed: int, epoch: int, count: int) -> Iterator[TrainSample | TestSample]:
    """The first samples of an epoch, in the order in which training takes them; those of a test set in that order."""
    sampler = EpochSampler(len(dataset), seed)
    sampler.set_epoch(epoch)
    return (dataset[key] for key in islice(sampler, count))


def view(sample: TrainSample | TestSample) -> tuple[np.ndarray, Targets]:
    """The network input as an RGB picture (H, W, 3), and its targets: those of a test image have no kernels."""
    image = denormalise(np.asarray(sample.image))
    if isinstance(sample, TrainSample):
        return image, sample.targets
    matrix = Geometry(sample.original_size, image.shape[:2]).matrix()
    polygons = [map_points(polygon, matrix) for polygon in sample.record.polygons]
    return image, make_targets(polygons, sample.record.ignore, image.shape[:2], ratios=())


def report(sizes: Sequence[Sizes]) -> list[str]:
    """The counts that are printed."""
    heights, areas = pooled(sizes)
    empty = sum(not len(s.heights) and not s.ignored for s in sizes)
    counts = f"{len(heights)} instances, {sum(s.ignored for s in sizes)} ignored regions"
    lines = [f"{len(sizes)} images, {empty} of them without text; {counts}"]
    if len(heights):
        low, middle, high = np.percentile(heights, [5, 50, 95])
        lines.append(f"height of the text: median {middle:.0f} px, 5% up to {low:.0f} px, 5% from {high:.0f} px")
    if len(areas):
        small = np.count_nonzero((areas > 0) & (areas < TINY))
        lines.append(
            f"smallest kernels: {np.count_nonzero(areas == 0)} out of sight, {small} under {TINY} px, "
            f"{sum(s.unshrunk for s in sizes)} as large as their text (too small to shrink)"
        )
    return lines


def pooled(sizes: Sequence[Sizes]) -> tuple[np.ndarray, np.ndarray]:
    """Heights and kernel areas of all samples."""
    return np.concatenate([s.heights for s in sizes]), np.concatenate([s.areas for s in sizes])


def main(args: argparse.Namespace) -> None:
    if not 1 <= args.images <= MAX_IMAGES:
        raise InputError(f"--images {args.images}: expected 1 to {MAX_IMAGES}")
    for name in ("epoch", "seed"):
        if (getattr(args, name) or 0) < 0:
            raise InputError(f"--{name} {getattr(args, name)}: expected 0 or more")
    cfg = load_experiment(args.config, args.cfg_options)
    require_text(cfg.task, "this tool")
    split = getattr(cfg.data, args.split)
    if split is None:
        raise InputError(f"{args.config}: has no data.{args.split}; choose another --split")
    seed = cfg.train_cfg.seed if args.seed is None else args.seed
    dataset = read_text_split(split, seed)
    out = Path(args.out or Path("outputs/browse") / f"{cli.run_name(args.config)}_{args.split}.jpg")
    check_output("--out", out, data_places(cfg.data, dataset), folder=False)
    tiles, sizes = [], []
    for sample in first_samples(dataset, seed, args.epoch, args.images):
        image, targets = view(sample)
        tiles.append(tile(image, targets, sample.name))
        sizes.append(measure(targets))
    save_picture(out, sheet(tiles, panel(*pooled(sizes), kernels=len(targets.kernels))))
    for line in [*report(sizes), *dataset.parser.issues.summary(), *dataset.issues.summary()]:
        say(line)
    print(f"picture: {out}")


if __name__ == "__main__":
    parser = Parser(description=__doc__)
    parser.add_argument("config", help="a config file, such as config/kkd/r18_ctw.py")
    parser.add_argument("--split", default="train", choices=["train", "test"], help="test: images as resized for it")
    parser.add_argument("--images", type=int, default=12, metavar="N", help="default 12")
    parser.add_argument("--out", metavar="FILE", help=".jpg or .png (default: outputs/browse/CONFIG_SPLIT.jpg)")
    parser.add_argument("--seed", type=int, help="of order and augmentation (default: train_cfg.seed)")
    parser.add_argument(
        "--epoch", type=int, default=0, metavar="N", help="which epoch's samples (default 0, the first)"
    )
    parser.add_argument("--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    cli.run(main, parser)
