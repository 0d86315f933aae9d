"""Commands run one after the other, each only if it or what it depends on has changed; shared by the demos."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from command_line import Parser
from engine.experiment import Experiment, load_experiment
from errors import exit_code
from tools.demo.once import Once

LAST = "checkpoint_last.pth.tar"
_SMALL = ["data.batch_size=4", "data.num_workers=0", "train_cfg.epoch=1", "train_cfg.val_interval=1"]


class Steps:
    """Runs commands one after the other, tells what each does, and remembers what is done and how long it took.

    Args:
        out: folder of the demo.
        total: number of the commands.
        configs: what each run is called, and its config file.
        options: config entries of each run that differ from its file.

    Attributes:
        seconds: of each command so far.
        idle: True as long as every command was done before.
        configs: the configs of the runs.
    """

    def __init__(self, out: Path, total: int, configs: Mapping[str, str], options: Mapping[str, Sequence[str]]) -> None:
        self.out = out
        self.total = total
        self.seconds: dict[str, float] = {}
        self.idle = True
        self._files = configs
        self._options = {name: ["--cfg-options", *own] if own else [] for name, own in options.items()}
        self.configs: dict[str, Experiment] = {name: load_experiment(configs[name], options[name]) for name in configs}
        self.key = json.dumps([cfg.config for cfg in self.configs.values()])

    def run(self, name: str, what: str, product: Path, *command: object, resume: bool = False) -> None:
        """Runs `python command`, unless it is done already, its product is there, and nothing before it has changed."""
        arguments = [str(part) for part in command]
        self.key = hashlib.sha256((self.key + repr(arguments)).encode()).hexdigest()
        print(f"\n[{len(self.seconds) + 1}/{self.total}] {what}", flush=True)
        state = product.with_name("resume.ckpt") if resume else None
        step = Once(self.out / name, self.key, product, arguments, state)
        if (seconds := step.seconds) is not None:
            print(f"    done before, in {seconds} s", flush=True)
        else:
            print(f"    python {' '.join(step.arguments)}", flush=True)
            seconds = step()
            self.idle = False
        self.seconds[name] = seconds

    def train(self, name: str, what: str, script: str, *arguments: object) -> None:
        """Trains a run into OUT/NAME."""
        folder = self.out / name
        command = [script, self._files[name], "--work-dir", folder, *arguments, *self._options[name]]
        self.run(name, what, folder / LAST, *command, resume=True)

    def test(self, name: str, what: str, *arguments: object) -> dict[str, Any]:
        """Tests a run into OUT/NAME_test; returns what results.json says."""
        folder = self.out / f"{name}_test"
        command = ["test.py", self._files[name], self.out / name / LAST, "--work-dir", folder, *arguments]
        self.run(f"{name}_test", what, folder / "results.json", *command, *self._options[name])
        return json.loads((folder / "results.json").read_text())


def small_options(out: Path, options: Sequence[str]) -> list[str]:
    """Config entries that make every step of a demo a matter of seconds."""
    return [f"data.root={out / 'data'}", *_SMALL, *options]


def demo_parser(description: str, out: str) -> Parser:
    """The command line of a demo; `out` is the folder that it writes to unless told otherwise."""
    parser = Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"default: {out}, with --small {out}-small")
    parser.add_argument(
        "--small", action="store_true", help="every step in miniature: shows that it runs, and nothing else"
    )
    parser.set_defaults(folder=out)
    return parser


def run_demo(main: Callable[[argparse.Namespace], None], parser: Parser) -> None:
    """Runs a demo as a program; a mistake becomes one line."""
    args = parser.parse_args()
    args.out = args.out or Path(args.folder + "-small" * args.small)
    sys.exit(exit_code(lambda: main(args)))
