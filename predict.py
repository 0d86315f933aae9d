"""Detects text in pictures:  python predict.py photo.jpg

MODEL is a checkpoint, or what export.py makes of one, which needs no torch; without one it is a trained detector of
weights/. INPUT are image files, folders, patterns and videos. Without an option that names what to write, pictures and
predictions.json go to outputs/predict. Polygons refer to the upright picture, as people see it: EXIF orientation is
applied. A file that is no image is named, skipped and counted; the exit code is then 1.
"""

import argparse
import hashlib
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from command_line import Parser, run
from errors import InputError, end_on_signals, say

end_on_signals("interrupted; what was detected so far is kept")  # before the imports, which can take seconds

from engine.inference import Predictor
from engine.inference.prediction_files import Crops, Json, Maps, Output, Pictures, Texts
from engine.inference.prediction_lines import SHARD, JsonLines, shard_of, shard_path
from engine.inference.predictor import Job
from engine.inference.runtimes import DETECTOR, MODEL_SUFFIXES, RUNTIMES, runtime_of
from engine.inference.sources import Frame, Source, Video, expand, frames_of, left_out
from engine.inference.text_predictor import LONG_SIDE, OVERLAP
from files import file_sha256

DEFAULT = Path("outputs/predict")
TEXT_ONLY = (
    "short_side",
    "long_side",
    "tile",
    "overlap",
    "min_score",
    "min_area",
    "bbox_type",
    "min_text",
    "min_kernel",
)


def main(args: argparse.Namespace) -> None:
    if args.batch_size < 1 or args.workers < 0 or (args.threads is not None and args.threads < 1):
        raise InputError("--batch-size and --threads: expected 1 or more; --workers: 0 or more")
    shard = args.shard and shard_of(args.shard)
    if shard and (args.json or not args.jsonl):
        raise InputError(
            "--shard: goes with --jsonl and without --json; tools/merge_predictions.py makes one file of all"
        )
    if not args.input:
        raise InputError(f"{args.model}: is the MODEL; name the pictures to detect in, too")
    sources = expand(args.input)
    for line in left_out(args.input):
        say(line, sys.stderr)
    options = {name: value for name in TEXT_ONLY if (value := getattr(args, name)) is not None}
    runtime = runtime_of(args.model, args.runtime)
    place = args.device, args.precision, args.threads
    predictor = Predictor.load(args.model, runtime, *place, batch_size=args.batch_size, workers=args.workers, **options)
    outputs = outputs_of(args, predictor, runtime)
    if args.jsonl:
        path = shard_path(args.jsonl, shard) if shard else args.jsonl
        outputs.append(
            JsonLines("--jsonl", path, about_run(args, predictor, runtime, sources, shard), classes_of(predictor))
        )
    if shard:
        sources = sources[shard[0] - 1 :: shard[1]]
    for output in outputs:
        output.check(sources, [Path(args.model)])
    start = time.perf_counter()
    pictures, found, skipped = detect(predictor, sources, outputs)
    seconds = time.perf_counter() - start
    lines = [output for output in outputs if isinstance(output, JsonLines)]
    for output in lines:
        output.complete()
    rate = f"{pictures / seconds:.1f} images/s ({runtime})"
    if before := sum(len(output.done) for output in lines):
        say(f"{before} images were done before")
    say(f"{pictures} images, {found} detections, {len(skipped)} files skipped; {rate}")
    say("   ".join(f"{output.option} {output.path}" for output in outputs))
    if skipped:
        sys.exit(1)


def outputs_of(args: argparse.Namespace, predictor: Predictor, runtime: str) -> list[Output]:
    """What the options ask for."""
    is_text, classes = predictor.task == "text", classes_of(predictor)
    for option in () if is_text else ("txt", "crops", "maps"):
        if getattr(args, option) is not None:
            raise InputError(f"--{option}: {args.model} is of an object detector; it goes with --json and --vis")
    if args.txt is None and (args.txt_format or args.scores):
        raise InputError("--txt-format, --scores: are for the files of --txt, which is not given")
    folders = [place.resolve() for place in (args.txt, args.vis, args.crops, args.maps) if place]
    if len(set(folders)) < len(folders):
        raise InputError("--txt, --vis, --crops, --maps: name folders of their own, as names of files could meet")
    if not any((args.json, args.jsonl, args.txt, args.vis, args.crops, args.maps)):
        args.json, args.vis = DEFAULT / "predictions.json", DEFAULT
    if args.json and args.jsonl:
        raise InputError("--json, --jsonl: give one; tools/merge_predictions.py makes the first of the second")
    outputs: list[Output] = []
    if args.json:
        about = about_model(args, predictor, runtime)
        outputs.append(Json("--json", args.json, about, classes))
    if args.txt:
        texts = Texts("--txt", args.txt, args.txt_format or predictor.protocol, args.scores)
        if texts.protocol.results.points == 4 and predictor.bbox_type != "rect":
            raise InputError("--txt: this format takes four corners an instance; add --bbox-type rect")
        outputs.append(texts)
    if args.vis:
        outputs.append(Pictures("--vis", args.vis, classes))
    if args.crops:
        outputs.append(Crops("--crops", args.crops))
    if args.maps:
        outputs.append(Maps("--maps", args.maps, predictor.maps))
    return outputs


def classes_of(predictor: Predictor) -> tuple[str, ...] | None:
    """Names of an object detector's labels; None for text."""
    return None if predictor.task == "text" else predictor.classes


def about_model(args: argparse.Namespace, predictor: Predictor, runtime: str) -> dict[str, str]:
    """What detects."""
    return {"model": str(args.model), "runtime": runtime, "task": predictor.task}


def about_run(
    args: argparse.Namespace, predictor: Predictor, runtime: str, sources: list[Source], shard: tuple[int, int] | None
) -> dict[str, object]:
    """What detects, how, and in what: two runs with the same are one run."""
    files = hashlib.sha256("\n".join(str(source.path) for source in sources).encode(errors="surrogateescape"))
    files = files.hexdigest()
    return {
        **about_model(args, predictor, runtime),
        "sha256": file_sha256(args.model),
        "options": {name: value for name in TEXT_ONLY if (value := getattr(args, name)) is not None},
        "inputs": len(sources),
        "inputs_sha256": files,
        SHARD: shard and list(shard),
    }


def detect(predictor: Predictor, sources: list[Source], outputs: list[Output]) -> tuple[int, int, list[str]]:
    """Detects in all pictures and writes what is found; returns how many there are of both, and what was skipped."""
    skipped: list[str] = []
    ended: list[tuple[Source, InputError]] = []  # videos, of which frames are still on their way

    def skip(source: Source, error: InputError) -> None:
        skipped.append(str(source.path))
        say(f"skipped: {error}", sys.stderr)
        for output in outputs:
            output.skip(source, error)

    def pictures() -> Iterator[tuple[Frame, object]]:
        done = [output.is_done for output in outputs if isinstance(output, JsonLines)]
        for source in sources:
            try:
                yield from (item for item in frames_of(source) if not any(known(item[0]) for known in done))
            except InputError as error:
                if source.is_video:
                    ended.append((source, error))
                else:
                    skip(source, error)

    count, found = 0, 0
    try:
        for job in progress(predictor.stream(pictures()), sources):
            if job.error is not None:
                skip(job.key.source, job.error)
                continue
            count += 1
            warn_if_small(predictor, job)
            found += len(job.result) if predictor.task == "text" else len(job.result["boxes"])
            for output in outputs:
                output.write(job.key, job)
        for source, error in ended:
            skip(source, error)
    finally:
        for output in outputs:
            output.close()
    return count, found, skipped


def warn_if_small(predictor: Predictor, job: Job) -> None:
    """Says that a long picture was scaled to less than half of the size at which text is found."""
    if predictor.task == "text" and predictor.short_side and 2 * min(job.size) < predictor.short_side:
        size = "x".join(map(str, job.size))
        say(f"{job.key}: is scaled to {size} pixels, less than asked for; --tile takes it in full size", sys.stderr)


def progress(items: Iterable, sources: list[Source]) -> Iterable:
    """Shows how far it is on a terminal, where the package rich is installed."""
    try:
        from rich.progress import track
    except ModuleNotFoundError:
        return items
    return track(items, "detecting", sum(map(_pictures, sources)))


def _pictures(source: Source) -> int:
    try:
        return Video(source.path).count if source.is_video else 1
    except InputError:  # named when its turn comes
        return 1


class ModelAndInput(Parser):
    """Takes the first positional argument for MODEL if its name ends like one, wherever the options stand."""

    def parse_args(self, args=None, namespace=None):
        parsed, later = self.parse_known_args(args, namespace)
        if unknown := [word for word in later if word.startswith("-")]:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        parsed.input += later  # behind the options that follow MODEL
        is_model = parsed.input[0].lower().endswith(MODEL_SUFFIXES)
        parsed.model = parsed.input.pop(0) if is_model else str(DETECTOR)
        return parsed


if __name__ == "__main__":
    parser = ModelAndInput(
        usage="%(prog)s [options] [MODEL] INPUT...",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "input",
        metavar="[MODEL] INPUT",
        nargs="+",
        help=f"MODEL: a checkpoint, or a file of export.py ({', '.join(MODEL_SUFFIXES)}); default {DETECTOR.name}. "
        "INPUT: images, folders, patterns ('a/**/*.jpg'), videos",
    )
    writes = parser.add_argument_group("what to write")
    writes.add_argument("--json", type=Path, metavar="FILE", help="polygons, scores and sizes of all pictures")
    writes.add_argument("--jsonl", type=Path, metavar="FILE", help="the same, a line a picture; a second run goes on")
    writes.add_argument("--txt", type=Path, metavar="DIR", help="a result file a picture, as the benchmarks take them")
    writes.add_argument("--txt-format", metavar="PROTOCOL", help="ctw1500, total_text, ... (default: the model's)")
    writes.add_argument("--scores", action="store_true", help="append the score to each line of --txt")
    writes.add_argument("--vis", type=Path, metavar="DIR", help="pictures with detections; a video for a video")
    writes.add_argument("--crops", type=Path, metavar="DIR", help="each instance cut out and straightened")
    writes.add_argument("--maps", type=Path, metavar="DIR", help="heat maps of text and kernel probabilities")
    how = parser.add_argument_group("how to detect")
    how.add_argument("--short-side", type=int, metavar="N", help="scale the short side to N (default: the model's)")
    how.add_argument("--long-side", type=int, metavar="N", help=f"limit of the long side (default: {LONG_SIDE})")
    how.add_argument("--tile", type=int, metavar="N", help="take squares of N pixels, for large scans, in full size")
    how.add_argument("--overlap", type=int, metavar="N", help=f"pixels that tiles share (default: {OVERLAP})")
    how.add_argument("--min-score", type=float, metavar="P", help="lowest score, 0 to 1 (default: the model's)")
    how.add_argument("--min-area", type=float, metavar="N", help="smallest area, in pixels of the scaled picture")
    how.add_argument("--min-text", type=float, metavar="P", help="probability above which a pixel is text")
    how.add_argument("--min-kernel", type=float, metavar="P", help="probability above which it is kernel, too")
    how.add_argument("--bbox-type", choices=["poly", "rect"], help="outlines, or rectangles (default: the model's)")
    where = parser.add_argument_group("where to run")
    where.add_argument("--shard", metavar="I/N", help="the I-th of N parts of the input; names its --jsonl after that")
    where.add_argument("--runtime", choices=["torch", *RUNTIMES], help="default: what takes MODEL and is installed")
    where.add_argument("--threads", type=int, metavar="N", help="threads of the network (default: the runtime's)")
    where.add_argument("--batch-size", type=int, default=1, metavar="N", help="pictures of one size at once, default 1")
    where.add_argument("--workers", type=int, default=2, metavar="N", help="threads that read and post-process")
    where.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"], help="of torch")
    where.add_argument("--precision", choices=["32", "bf16", "16"], help="of torch, or of openvino (32, bf16)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    run(main, parser)
