"""Brings images and polygons of one's own into the folder layout of Total-Text, to be trained on and scored as such.

labelme: SRC is a folder of labelme files. cocotext: SRC is one JSON file in the style of COCO-Text or of COCO.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import struct
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import ExifTags, Image, ImageOps
from rich.progress import track

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from errors import end_on_signals

if __name__ == "__main__":  # before the imports, which take seconds
    end_on_signals()

from annotations import Instance, total_text
from command_line import Parser
from dataset.images import max_pixels
from dataset.issues import DataIssues
from engine import cli
from errors import InputError, say
from files import IMAGE_SUFFIXES, check_output
from tools.support.foreign_annotations import Import, LabelledImage, read_coco, read_labelme

READERS = {"labelme": read_labelme, "cocotext": read_coco}
SPLITS = ("Train", "Test")
LISTED = 20  # mistakes that are shown at once


def split_of(name: str, test_fraction: float, seed: int) -> str:
    """'Train' or 'Test', by a hash of image name and seed: images added later leave the others where they are."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return "Test" if int.from_bytes(digest[:8], "big") / 2**64 < test_fraction else "Train"


def stored_anew(image: LabelledImage, issues: DataIssues) -> Image.Image | None:
    """The picture to be stored in place of an image file; None where the file itself will do.

    Annotation tools show an image turned as its EXIF orientation says, but training reads the pixels as stored.
    An image with an orientation is therefore turned, unless the size that the annotation names is that of the
    stored pixels only. Kinds of files that training does not read are stored anew as well.

    Raises:
        InputError: the image cannot be read, or the annotation was made on another size.
    """
    try:
        with Image.open(image.path) as picture:
            if picture.width * picture.height > max_pixels():
                raise OSError(f"has {picture.width}x{picture.height} pixels, more than {max_pixels():,}")
            if _must_turn(picture, image):
                issues.add("images turned as their EXIF orientation says, and stored so", str(image.path))
                return ImageOps.exif_transpose(picture)
            if image.path.suffix.lower() not in IMAGE_SUFFIXES:
                issues.add("images stored as PNG", str(image.path))
                return picture.copy() if picture.mode.startswith("I") else picture.convert("RGB")  # I: 16 bits
            return None
    except (OSError, Image.DecompressionBombError) as error:
        raise InputError(f"{image.path}: cannot be read ({error}); replace or remove it and its labels") from error


def _must_turn(picture: Image.Image, image: LabelledImage) -> bool:
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except (SyntaxError, struct.error):  # a damaged EXIF block, which viewers pass over, too
        orientation = 1
    upright = picture.size[::-1] if orientation in (5, 6, 7, 8) else picture.size
    if image.size not in (None, upright, picture.size):
        made, found = ("x".join(map(str, size)) for size in (image.size, picture.size))
        raise InputError(f"{image.where}: made on an image of {made}, but {image.path} has {found}; restore the image")
    return orientation in range(2, 9) and image.size in (None, upright)


def write_image(image: LabelledImage, folder: Path, link: bool, issues: DataIssues) -> None:
    """Copies or links an image file into a folder, or stores the picture anew where that is needed."""
    picture = stored_anew(image, issues)
    suffix = image.path.suffix if image.path.suffix.lower() in IMAGE_SUFFIXES else ".png"
    target = folder / (image.path.stem + suffix)
    if picture is not None:
        picture.save(target, quality=95, subsampling=0)  # both are for JPEG; PNG loses nothing
    elif link:
        target.symlink_to(image.path.resolve())
    else:
        shutil.copyfile(image.path, target)


def label_text(instances: Iterable[Instance]) -> str:
    """The content of a ground-truth file, coordinates to a hundredth of a pixel; '#' marks what is to be ignored."""
    lines = []
    for instance in instances:
        orientation = "c" if len(instance.polygon) > 4 else "m"
        marks = ("#", "#") if instance.difficult else (instance.transcription, orientation)
        lines.append(Instance(instance.polygon.round(2), instance.where, *marks))
    return total_text.write_text(lines)


def share_out(found: Sequence[LabelledImage], args: argparse.Namespace) -> dict[str, list[LabelledImage]]:
    """The images of each split.

    Raises:
        InputError: a split would be empty, and --test-fraction is neither 0 nor 1.
    """
    splits: dict[str, list[LabelledImage]] = {split: [] for split in SPLITS}
    for image in found:
        splits[image.split or split_of(image.path.stem, args.test_fraction, args.seed)].append(image)
    empty = next((split for split in SPLITS if not splits[split]), None)
    if empty and (not found or 0 < args.test_fraction < 1):
        remedy = "choose another --test-fraction or --seed (0 and 1 mean one split only)" if found else "add some"
        raise InputError(f"{args.src}: {len(found)} images leave the split {empty} empty; {remedy}")
    return splits


def write_split(images: Sequence[LabelledImage], folder: Path, split: str, link: bool, job: Import) -> str:
    """Writes `Images/SPLIT` and `Groundtruth/Polygon/SPLIT` below a folder; returns what there is, in a line."""
    pictures, labels = folder / "Images" / split, folder / "Groundtruth" / "Polygon" / split
    pictures.mkdir(parents=True)
    labels.mkdir(parents=True)
    for image in track(images, split, transient=True, disable=not sys.stdout.isatty()):
        with job.collecting():
            write_image(image, pictures, link, job.issues)
        name = f"poly_gt_{image.path.stem}.txt"
        (labels / name).write_text(label_text(image.instances), encoding="utf-8", newline="\n")
    texts = [text for image in images for text in image.instances]
    return f"{split}: {len(images)} images, {len(texts)} instances, {sum(t.difficult for t in texts)} of them ignored"


def check_names(found: Iterable[LabelledImage], job: Import) -> None:
    """Notes images that would be stored under one name, or under a hidden one, which nothing would read."""
    first: dict[str, LabelledImage] = {}
    for image in found:
        if image.path.name.startswith("."):
            job.problems.append(f"{image.where}: image {image.path} has the name of a hidden file; rename it")
        other = first.setdefault(image.path.stem, image)
        if other is not image:
            same = f"image {image.path} has the name of {other.path}, which is that of {other.where}"
            job.problems.append(f"{image.where}: {same}; rename or remove one of them")


def check_text(found: Sequence[LabelledImage], issues: DataIssues) -> None:
    """InputError when no text is left that can be learnt; it says why."""
    if all(instance.difficult for image in found for instance in image.instances):
        ignored = sum(len(image.instances) for image in found)
        why = [f"all {ignored} instances are ignored"] if ignored else []
        reason = "; ".join(why + [f"{count} {kind}" for kind, count in issues.counts.items()]) or "nothing is labelled"
        raise InputError(f"{issues.source}: has no text to learn: {reason}; correct the labels; nothing was written")


def refuse_problems(job: Import) -> None:
    """InputError when there are any; they are printed if there are several."""
    if len(job.problems) == 1:
        raise InputError(job.problems[0])
    if job.problems:
        for problem in job.problems[:LISTED]:
            say(problem, sys.stderr)
        shown = "listed above" if len(job.problems) <= LISTED else f"the first {LISTED} listed above"
        raise InputError(f"{job.issues.source}: {len(job.problems)} mistakes, {shown}; nothing was written")


def main(args: argparse.Namespace) -> None:
    if not 0 <= args.test_fraction <= 1:
        raise InputError(f"--test-fraction {args.test_fraction}: expected a number from 0 to 1")
    out = Path(args.dst).resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{args.dst}: is there already; name a new or empty folder")
    if args.images and not Path(args.images).is_dir():
        raise InputError(f"--images {args.images}: is no folder; name the one that holds the images")
    check_output("DST", args.dst, [args.src, *([args.images] if args.images else [])])
    job = Import(args.images and Path(args.images), args.ignore_label, DataIssues(args.src))
    found = READERS[args.format](Path(args.src), job)
    check_names(found, job)
    refuse_problems(job)
    splits = share_out(found, args)
    aside = out.with_name(f".{out.name}.partial-{os.getpid()}")
    try:
        lines = [write_split(images, aside, split, args.link, job) for split, images in splits.items()]
        refuse_problems(job)
        check_text(found, job.issues)
        if out.exists():
            out.rmdir()
        aside.rename(out)
    except OSError as error:  # a full disk, of which writing does not say where
        error.filename = error.filename or args.dst
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    for line in [*job.issues.summary(), *lines, f"written: {args.dst}"]:
        say(line)


if __name__ == "__main__":
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("format", choices=list(READERS))
    parser.add_argument("src", metavar="SRC", help="a folder of labelme files, or a JSON file")
    parser.add_argument("dst", metavar="DST", help="the folder to write, such as data/mine")
    parser.add_argument("--images", metavar="DIR", help="folder of the images (default: where the annotation says)")
    parser.add_argument("--test-fraction", type=float, default=0.1, metavar="F", help="share of test images (0.1)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another split (default 0)")
    parser.add_argument("--link", action="store_true", help="link the images instead of copying them")
    ignore = "labels of unreadable text (default ###; # always is)"
    parser.add_argument("--ignore-label", nargs="+", default=["###"], metavar="LABEL", help=ignore)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    cli.run(main, parser)
