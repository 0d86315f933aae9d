"""Exports a text detector to ONNX:  python export.py work_dirs/light_m_ic15/checkpoint_best.pth.tar light_m.onnx

With --precision 16 and an OUT that ends in .pth.tar it writes a checkpoint of half the size, to teach with or to start
from.
"""

import argparse
import tempfile
from pathlib import Path

from command_line import Parser, run
from errors import InputError, end_on_signals, say

end_on_signals()  # before the imports, which take seconds

from engine.experiment import load_experiment
from engine.inference.export import PRECISIONS, export
from engine.inference.quantise import score
from engine.report.analysis import require_text
from engine.training.checkpoint import save_half
from files import check_output


def main(args: argparse.Namespace) -> None:
    cfg = load_experiment(args.config, args.cfg_options) if args.config else None
    if cfg is None and (args.cfg_options or args.max_steps != -1):
        raise InputError("--cfg-options, --max-steps: are for the measurement on --config, which is not given")
    if cfg is not None:
        if args.precision != "int8" or not (args.max_steps == -1 or args.max_steps > 0):
            raise InputError("--config: goes with --precision int8 and, if wanted, --max-steps of 1 or more")
        require_text(cfg.task, "--config")
        cfg.task.test_set(cfg.data.test, cfg.test_cfg)  # fails here, not after minutes
    if args.out.endswith(".pth.tar"):
        if args.precision != "16":
            raise InputError("OUT: a checkpoint is written with --precision 16 only; a network to run is an .onnx file")
        if args.calibrate:
            raise InputError("--calibrate: is for --precision int8, of an .onnx file")
        check_output("OUT", args.out, [args.checkpoint], folder=False)
        save_half(args.checkpoint, args.out)
        say(f"written: {args.out}")
        return
    for runtime, difference in export(args.checkpoint, args.out, args.precision, args.calibrate).items():
        print(f"{runtime}: largest difference from PyTorch {difference:.2g}")
    say(f"written: {args.out}")
    if cfg is not None:
        with tempfile.TemporaryDirectory() as folder:
            export(args.checkpoint, whole := Path(folder) / "float32.onnx")
            before, after = (score(path, cfg, args.max_steps)["hmean"] for path in (whole, args.out))
        print(f"hmean in openvino: float32 {before:.4f}, int8 {after:.4f}, loss {before - after:+.4f}")


if __name__ == "__main__":
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="a checkpoint of train.py or knowledge_distillation_train.py")
    parser.add_argument("out", metavar="OUT.onnx", help="the file to write; .pth.tar: see above")
    parser.add_argument(
        "--precision", default="32", choices=PRECISIONS, help="bf16, 16: of the weights; int8: of the arithmetic"
    )
    parser.add_argument("--calibrate", metavar="DIR", help="for int8: a folder of images like those to come")
    parser.add_argument("--config", help="for int8: measure the loss in hmean on its data.test")
    parser.add_argument(
        "--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="of --config"
    )
    parser.add_argument("--max-steps", type=int, default=-1, metavar="N", help="measure on the first N images only")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    run(main, parser)
