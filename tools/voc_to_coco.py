"""Converts PASCAL VOC to COCO format: `python tools/voc_to_coco.py VOCdevkit/VOC2012 data/voc2012`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from errors import end_on_signals

if __name__ == "__main__":  # before the imports, which take seconds
    end_on_signals()

from annotations.voc import CLASSES, find_annotations, read, split_images, to_coco
from command_line import Parser
from errors import InputError, exit_code
from eval.files import write_json
from files import check_output


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(
        description="Writes train.json, val.json and test.json, a random 8:1:1 split of the annotated images. The "
        "images stay where they are: in a configuration, SRC is the folder `images`."
    )
    parser.add_argument("source", metavar="SRC", type=Path, help="VOC2012, or VOCdevkit to take all years in it")
    parser.add_argument("out", metavar="DST", type=Path, help="folder of the three files")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the split (default 0)")
    parser.add_argument("--classes", metavar="A,B,...", help="class names, ids from 1 (default: the 20 of VOC)")
    parser.add_argument("--skip-difficult", action="store_true", help="leave difficult objects out")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> None:
    classes = [name.strip() for name in args.classes.split(",")] if args.classes else list(CLASSES)
    if "" in classes or len(set(classes)) < len(classes):
        raise InputError(f"--classes {args.classes}: give different names, separated by commas")
    annotations = find_annotations(args.source)
    folders = {path.parent for path in annotations.values()} | {(args.source / name).parent for name in annotations}
    check_output("DST", args.out, sorted(folders))
    images = {name: read(path) for name, path in annotations.items()}
    ids = {name: i for i, name in enumerate(images, 1)}
    everything = to_coco(images, ids, classes, args.skip_difficult)  # a wrong class shows before anything is written
    print(f"{args.source}: {len(images)} images, {len(everything['annotations'])} objects")
    for split, names in split_images(list(images), args.seed).items():
        content = to_coco({name: images[name] for name in names}, ids, classes, args.skip_difficult)
        made = f"{args.source.name}: {split} of a random 8:1:1 split, seed {args.seed}"
        write_json(args.out / f"{split}.json", {"info": {"description": made}, **content})
        print(f"{args.out / f'{split}.json'}: {len(names)} images, {len(content['annotations'])} objects")


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    return exit_code(lambda: run(args), args.debug)


if __name__ == "__main__":
    sys.exit(main())
