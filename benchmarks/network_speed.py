"""How fast student and teacher run and train on this device, and how near that is to what the device can do.

Forward passes (batch norm folded, as in test.py), training steps on rendered images, and the whole of test.py, from
image files to result files. On a GPU in float32, TF32 and bfloat16 (mixed precision), eager and compiled; on a CPU
in float32 and bfloat16, and compiled where asked for. Needs no data. Takes minutes, most of them for compiling.

`of matmul` is the achieved FLOP/s over those of the best matrix product, measured on the spot; `of limits` the least
time that convolutions and matrix products could take, each computing or moving its operands at measured rates, over
the time taken; `busy` the share of time inside kernels (GPU) or operators (CPU). Without --checkpoint weights are
random: such a network sees text everywhere, the worst case of post-processing, which changes nothing else.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from device_work import Limits, busy_share, count_work, median_seconds, most_bandwidth, most_flops, multiplying
from harness import machine
from torch import Tensor, nn

from command_line import Parser
from dataset import TextBatch, TrainTransform, text_split
from dataset.synthetic.scene import MIN_SIDE
from dataset.synthetic.text_set import write_dataset
from engine import cli
from engine.experiment import load_experiment
from engine.inference.evaluator import Evaluator
from engine.inference.parallel import worker_count
from engine.inference.speed import measure_speed
from engine.precision import autocast, resolve_device
from engine.tasks import TASKS
from engine.training.checkpoint import load_detector, new_detector
from engine.training.module import TrainingModule
from errors import InputError
from eval.files import write_json
from keywords import keywords
from models import LOSSES
from models.fuse import fuse_batch_norm

CONFIGS = ["config/kkd/r18_ctw.py", "config/kkd/r50_ctw.py"]
PRECISIONS = {"float32": "32", "tf32": "32", "bf16": "bf16"}  # what --precision of test.py and train.py calls them
MODES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "eager": lambda network: network,
    "compiled": partial(torch.compile, dynamic=False),
}
_ASPECT, _STRIDE = 1.6, 32  # of images: 640x1024, and sides that are multiples of 32
_COLUMNS = "| config | work | batch | precision | mode | ms | images/s | TFLOP/s | of matmul | of limits | busy |"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        config, work, mode: what was run: 'forward' or 'training step', 'eager' or 'compiled'.
        batch: images.
        precision: 'float32', 'tf32' or 'bf16'.
        milliseconds: median time of a batch.
        images_per_second: at that time.
        gflops: of a batch.
        of_matmul, of_limits, busy: see above; 1 is all.
        most: the kernels or operators of most time, with their shares of all of them.
    """

    config: str
    work: str
    batch: int
    precision: str
    mode: str
    milliseconds: float
    images_per_second: float
    gflops: float
    of_matmul: float
    of_limits: float
    busy: float
    most: list[tuple[str, float]]

    def __str__(self) -> str:
        rate = self.gflops / self.milliseconds
        shares = [f"{100 * share:.1f} %" for share in (self.of_matmul, self.of_limits, self.busy)]
        times = f"{self.milliseconds:.2f}", f"{self.images_per_second:.1f}", f"{rate:.3f}"
        return (
            f"| {' | '.join([self.config, self.work, str(self.batch), self.precision, self.mode, *times, *shares])} |"
        )


def measure_row(
    make: Callable[[Callable[[nn.Module], nn.Module]], Callable[[], Any]],
    limits: Limits,
    device: torch.device,
    seconds: float,
    **about: Any,
) -> Row:
    """Counts and times some work.

    Args:
        make: takes a mode, returns the work as a function.
        seconds: to spend on runs that count.
        about: the first fields of the row.
    """
    works = count_work(make(MODES["eager"]))  # compiled code does not tell what it does
    torch.compiler.reset()
    run = make(MODES[about["mode"]])
    took = median_seconds(run, device, seconds)
    busy, most = busy_share(run, device, took)
    flops = sum(work.flops for work in works)
    return Row(
        **about,
        milliseconds=1000 * took,
        images_per_second=about["batch"] / took,
        gflops=flops / 1e9,
        of_matmul=flops / took / limits.flops,
        of_limits=limits.seconds(works) / took,
        busy=busy,
        most=most,
    )


class Network:
    """The network of a config, and what is done with it.

    Args:
        config: a text detector's.
        checkpoint: None for random weights.
        root: rendered images, see `main`.
        args: the command line.
    """

    def __init__(self, config: str, checkpoint: str | None, root: Path, args: argparse.Namespace) -> None:
        self.name, self.args, self.device = cli.run_name(config), args, resolve_device(args.device)
        self.cfg = cfg = load_experiment(config)
        self.task = cfg.task
        if self.task is not TASKS["text"]:
            raise InputError(f"{config}: an object detector, whose work depends on what is in the image; not measured")
        torch.manual_seed(0)
        self.detector = load_detector(cfg.model, checkpoint)[0] if checkpoint else new_detector(cfg.model, False)
        fused = fuse_batch_norm(self.detector)
        self.fused = fused.to(self.device, memory_format=torch.channels_last)
        side = args.short_size
        given = {k: v for k, v in cfg.config["data"]["train"].items() if k in keywords(TrainTransform)}
        train = {**given, "type": "CTW1500", "split": "train", "img_size": side, "short_size": side}
        self.train_split = text_split(train, root, training=True)
        self.test_split = text_split({"type": "CTW1500", "split": "test", "short_size": side}, root, training=False)

    def rows(self, precision: str, limits: Limits) -> Iterator[Row]:
        """Forward passes and a training step, in all modes."""
        given = dict(limits=limits, device=self.device, seconds=self.args.seconds)
        for mode in self.args.modes:
            about = dict(config=self.name, precision=precision, mode=mode, **given)
            for batch in self.args.batches:
                make = partial(self._forward, self._images(batch), precision)
                yield measure_row(make, work="forward", batch=batch, **about)
            make = partial(self._training_step, self._training_batch(), precision)
            yield measure_row(make, work="training step", batch=self.args.train_batch, **about)

    def pipeline(self, precision: str, batch: int) -> dict[str, Any]:
        """Speeds as `test.py --report-speed` reports them."""
        settings = replace(self.cfg.test_cfg, protocol="ctw1500", variant=None)
        dataset = self.task.test_set(self.test_split, settings)
        workers = worker_count(self.cfg.data.num_workers)
        predictor = Evaluator(self.fused, settings, self.device, PRECISIONS[precision], batch, workers)
        speed = measure_speed(predictor, dataset, range(len(dataset)), images=min(20, len(dataset)))
        return {"config": self.name, "precision": precision, "batch": batch, **speed}

    def _images(self, batch: int) -> Tensor:
        images = torch.randn(batch, 3, *image_size(self.args.short_size), generator=torch.Generator().manual_seed(0))
        return images.to(self.device, memory_format=torch.channels_last)

    def _training_batch(self) -> TextBatch:
        dataset = self.task.train_set(self.train_split, seed=0)
        batch = self.task.collate([dataset[index] for index in range(len(dataset))]).to(self.device)
        batch.images = batch.images.contiguous(memory_format=torch.channels_last)
        return batch

    def _forward(self, images: Tensor, precision: str, mode: Callable[[nn.Module], nn.Module]) -> Callable[[], Tensor]:
        """A pass as in test.py, from images on the device to maps there."""
        network = mode(self.fused)

        def run() -> Tensor:
            with torch.no_grad(), autocast(PRECISIONS[precision], self.device):
                return network(images).logits

        return run

    def _training_step(
        self, batch: TextBatch, precision: str, mode: Callable[[nn.Module], nn.Module]
    ) -> Callable[[], None]:
        """A step as in train.py, on a batch that lies on the device."""
        student = mode(copy.deepcopy(self.detector).to(self.device, memory_format=torch.channels_last))
        learner = self.task.supervised(student, LOSSES.build(self.cfg.loss)).train()
        module = TrainingModule(learner, self.cfg.train_cfg, steps_per_epoch=1)
        optimizer = module.configure_optimizers()

        def run() -> None:
            optimizer.zero_grad()
            with autocast(PRECISIONS[precision], self.device):
                losses = learner(batch).losses
            torch.stack(list(losses.values())).sum().backward()
            optimizer.step()

        return run


def image_size(short_size: int) -> tuple[int, int]:
    """(H, W) of the images of forward passes."""
    return short_size, round(_ASPECT * short_size / _STRIDE) * _STRIDE


def main(args: argparse.Namespace) -> None:
    device = resolve_device(args.device)
    if args.short_size < MIN_SIDE or args.short_size % _STRIDE:
        raise InputError(f"--short-size {args.short_size}: expected a multiple of {_STRIDE}, {MIN_SIDE} or more")
    if args.checkpoint and len(args.checkpoint) != len(args.config):
        raise InputError(f"--checkpoint: {len(args.checkpoint)} for {len(args.config)} configs; give one for each")
    if min(*args.batches, args.train_batch, args.images) < 1:
        raise InputError("--batches, --train-batch, --images: expected 1 or more")
    args.modes = args.modes or (list(MODES) if device.type == "cuda" else ["eager"])
    precisions = [name for name in PRECISIONS if device.type == "cuda" or name != "tf32"]
    bandwidth = most_bandwidth(device, args.seconds)
    limits = {name: Limits(most_flops(name, device, args.seconds), bandwidth) for name in precisions}
    print(", ".join(f"{key} {value}" for key, value in machine().items() if value is not None))
    for name, limit in limits.items():
        print(f"{name}: {limit.flops / 1e12:.2f} TFLOP/s in matrix products, {bandwidth / 1e9:.1f} GB/s in copies")
    rows, pipelines = [], []
    with tempfile.TemporaryDirectory() as folder:
        root, size = Path(folder) / "rendered", image_size(args.short_size)
        write_dataset(root, args.train_batch, args.images, size[::-1])
        checkpoints = args.checkpoint or [None] * len(args.config)
        networks = [Network(*pair, root, args) for pair in zip(args.config, checkpoints)]
        print(f"images {size[1]}x{size[0]}, training crops {size[0]}x{size[0]}\n{_COLUMNS}\n|{' --- |' * 11}")
        for network in networks:
            for name in precisions:
                with multiplying(name):
                    for row in network.rows(name, limits[name]):
                        print(row, flush=True)
                        rows.append(row)
                    pipelines += [network.pipeline(name, batch) for batch in args.batches]
    for row in rows:
        most = ", ".join(f"{100 * share:.0f} % {name[:60]}" for name, share in row.most)
        print(f"{row.config}, {row.work}, batch {row.batch}, {row.precision}, {row.mode}: {most}")
    for pipeline in pipelines:
        print(", ".join(f"{k} {v:.2f}" if isinstance(v, float) else f"{k} {v}" for k, v in pipeline.items()))
    if args.json:
        content = {"machine": machine(), "size": size, "limits": {k: v._asdict() for k, v in limits.items()}}
        write_json(args.json, {**content, "rows": [asdict(row) for row in rows], "pipelines": pipelines})


if __name__ == "__main__":
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", nargs="+", default=CONFIGS, help="text detectors (default: student and teacher)")
    parser.add_argument("--checkpoint", nargs="+", metavar="FILE", help="one for each config (default: random weights)")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--short-size", type=int, default=640, metavar="PX", help="short side of the images")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16], metavar="N", help="of forward passes")
    parser.add_argument("--train-batch", type=int, default=16, metavar="N", help="of the training step")
    parser.add_argument("--images", type=int, default=64, metavar="N", help="that test.py gets")
    parser.add_argument("--modes", nargs="+", choices=list(MODES), help="default: both on a GPU, eager on a CPU")
    parser.add_argument("--seconds", type=float, default=1.0, metavar="S", help="for each measurement")
    parser.add_argument("--json", metavar="FILE", help="also write the numbers there")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    cli.run(main, parser)
