"""Detection in pictures: files, arrays, frames of a video. Exported networks need no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dataset.images import read_image
from engine.inference.flow import bounded_map, same_size_batches
from engine.inference.runtimes import DETECTOR, load_runtime, runtime_of
from errors import InputError

Picture = np.ndarray | str | Path
LARGEST_TILED = 1 << 28  # pixels of an image that is read to be taken tile by tile


@dataclass
class Job:
    """A picture on its way through a Predictor.

    Attributes:
        key: what the caller knows it by.
        picture: (H, W, 3) uint8, RGB, upright; None if it cannot be read.
        image: network input, or what `Predictor.run` makes one from.
        size: (height, width) of the network input in pixels.
        maps: (K, h, w) float32, the output maps of a text detector.
        result: what was found in it, see Predictor.__call__.
        error: why there is no result.
    """

    key: Hashable
    picture: np.ndarray | None = None
    image: np.ndarray | None = None
    size: tuple[int, int] = (0, 0)
    maps: np.ndarray | None = None
    result: Any = None
    error: InputError | None = None


class Predictor(ABC):
    """Detects in pictures: `Predictor.load(FILE)(image)`.

    Reading, network and post-processing work at the same time, in threads.

    Attributes:
        task: 'text' or 'objects'.
        classes: names of an object detector's labels, from 1; empty for text.

    Args:
        batch_size: largest number of pictures that the network takes at once, of one size, so that none is padded.
        workers: threads that read and scale, and as many that post-process; 0: all in this one.
        upright: turn files as their EXIF orientation says: polygons and boxes refer to the picture that people see.
            False: as stored, the frame of most annotations.
    """

    task: ClassVar[str]
    classes: tuple[str, ...] = ()
    largest: int | None = None  # pixels of a file that is read; None: dataset.images.max_pixels

    def __init__(self, batch_size: int = 1, workers: int = 2, upright: bool = True) -> None:
        self.batch_size = batch_size
        self.workers = workers
        self.upright = upright

    @staticmethod
    def load(
        path: str | Path = DETECTOR,
        runtime: str | None = None,
        device: str = "auto",
        precision: str | None = None,
        threads: int | None = None,
        **options: Any,
    ) -> Predictor:
        """The detector of a checkpoint of train.py, or of a file of export.py.

        Args:
            path: the file, which holds all settings, too; without one, a trained detector of weights/.
            runtime: 'torch' for a checkpoint; 'onnx' or 'openvino' for an exported file; None: torch for a checkpoint,
                openvino for an exported file where it is installed, else onnxruntime.
            device: 'auto', 'cpu' or 'cuda', of torch.
            precision: '32', 'bf16' or '16', of torch; '32' or 'bf16' of openvino, which computes in bfloat16 only where
                the processor does; None: float32, or what the file was exported for.
            threads: number of threads of the network; None for the runtime's choice.
            options: of TextPredictor or, for an object detector, of Predictor.

        Raises:
            InputError: no such file, a damaged one, one of another program or without the config that it was trained
                with; a runtime that is not installed or does not take the file.
        """
        from engine.inference.text_predictor import TextPredictor

        runtime = runtime_of(path, runtime)
        if runtime != "torch":
            if device == "cuda":
                raise InputError(f"--device cuda: --runtime {runtime} is on the CPU here; take a checkpoint for a GPU")
            return TextPredictor(load_runtime(path, runtime, threads, precision), **options)
        try:
            from engine.inference.torch_network import load_predictor
        except ModuleNotFoundError as error:
            raise InputError(
                f"{path}: is a checkpoint, which needs the package {error.name}: pip install -r requirement.txt, or "
                "give a file of export.py"
            ) from error
        return load_predictor(path, device, precision or "32", threads, options)

    def __call__(self, images: Picture | Sequence[Picture]) -> Any:
        """Detects in one picture, or in each of a list. Threads may share a predictor.

        Args:
            images: an array (H, W, 3) uint8, RGB, or the path of an image file; or a list of these.

        Returns:
            A result, or a list of as many. Text: a list of Detection(polygon (n, 2) float32, score). Objects: a dict
            of `boxes` (n, 4), `labels` (n,) from 1, in the order of `classes`, `scores` (n,) and, for a detector with
            masks and `test_cfg.variant='segm'`, `segmentations`. All in pixels of the picture as people see it.

        Raises:
            InputError: a file that cannot be read, an array of another kind or something else, or output maps that are
                not finite.
        """
        if isinstance(images, (np.ndarray, str, Path)):
            return self([images])[0]
        if not isinstance(images, Iterable) or isinstance(images, (bytes, bytearray, memoryview)):
            raise _other_kind("", images)
        results: dict[Hashable, Any] = {}
        for job in self.stream(enumerate(images)):
            if job.error is not None:
                raise job.error
            results[job.key] = job.result
        return [results[number] for number in range(len(results))]

    def stream(self, pictures: Iterable[tuple[Hashable, Picture]]) -> Iterator[Job]:
        """Detects in pictures, of which few are in memory at once.

        Args:
            pictures: a key, and an array or a path, of each.

        Yields:
            Each picture as soon as its result is there; those of one size in their order. A picture that cannot be
            read has an `error` instead.

        Raises:
            InputError: the network's outputs are not finite.
        """
        with ThreadPoolExecutor(self.workers) if self.workers else nullcontext() as pool:
            # The same threads read and post-process: reading ahead is bounded, so neither waits for ever.
            failed: list[Job] = []

            def readable() -> Iterator[Job]:
                for job in bounded_map(self._read, pictures, pool, backlog=max(1, self.workers)):
                    if job.error is None:
                        yield job
                    else:
                        failed.append(job)

            waiting: deque[Future[Job]] = deque()
            for batch in same_size_batches(readable(), self.batch_size):
                for job, output in zip(batch, self.run(batch)):
                    if pool is None:
                        yield self._finish(job, output)
                    else:
                        waiting.append(pool.submit(self._finish, job, output))
                while failed:
                    yield failed.pop(0)
                while waiting and (len(waiting) > self.workers + self.batch_size or waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
            yield from failed

    def _read(self, item: tuple[Hashable, Picture]) -> Job:
        return self.read(item[1], item[0])

    def read(self, picture: Picture, key: Hashable = "") -> Job:
        """A picture read and prepared for the network, or why it cannot be."""
        try:
            if isinstance(picture, np.ndarray):
                _check_array(key, picture)
            elif not isinstance(picture, (str, Path)):
                raise _other_kind(key, picture)
            else:
                picture = read_image(picture, upright=self.upright, most=self.largest)
        except InputError as error:
            return Job(key, error=error)
        image, size = self.prepare(picture)
        return Job(key, picture, image, size)

    def _finish(self, job: Job, output: Any) -> Job:
        self.finish(job, output)
        job.image = None
        return job

    @abstractmethod
    def prepare(self, picture: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        """What `run` takes for a picture (H, W, 3) uint8, with a `shape` that decides what it can share a batch with;
        and (height, width) of the network input."""

    @abstractmethod
    def run(self, jobs: Sequence[Job]) -> Sequence[Any]:
        """The network's outputs for pictures whose images have one shape."""

    @abstractmethod
    def finish(self, job: Job, output: Any) -> None:
        """Sets what the outputs of the network say: `result`, and for text `maps`.

        Raises:
            InputError: they are not finite.
        """


def check_finite(key: Hashable, name: str, values: np.ndarray) -> None:
    """InputError if outputs of a network hold infinities or NaN, which would look like an empty picture."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(
            f"image {key}: the {name} that the network computes are not finite; try --precision 32, or another "
            "checkpoint: these weights have diverged"
        )


def _other_kind(key: Hashable, picture: object) -> InputError:
    return InputError(
        f"image {key}: is of {type(picture).__name__}; expected an array (H, W, 3) uint8, RGB, such as "
        "np.asarray(picture.convert('RGB')) of a PIL picture, or the path of a file"
    )


def _check_array(key: Hashable, image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise InputError(
            f"image {key}: an array of shape {image.shape} and type {image.dtype}; expected (H, W, 3) uint8, RGB"
        )
