"""What all command lines have in common."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from conftest import ROOT, run_script

from command_line import Parser
from engine import cli


def parser() -> Parser:
    made = Parser()
    made.add_argument("word", nargs="?")
    made.add_argument("--batch-size", type=int)
    made.add_argument("--end_epoch", type=int)
    made.add_argument("--cfg-options", nargs="+", default=[])
    return made


def test_hyphens_and_underscores_are_one():
    for batch, epoch in [("--batch-size", "--end_epoch"), ("--batch_size", "--end-epoch")]:
        args = parser().parse_args([batch, "3", f"{epoch}=4", "--cfg_options", "a_b=c-d", "x-y=z_w"])
        assert (args.batch_size, args.end_epoch, args.cfg_options) == (3, 4, ["a_b=c-d", "x-y=z_w"])
    assert parser().parse_args(["--", "--batch_size"]).word == "--batch_size"
    assert parser().parse_args(["--batch", "5"]).batch_size == 5  # abbreviated, as argparse has it


def test_an_unknown_option_is_named_as_it_was_given(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["--no_such"])
    assert "--no_such" in capsys.readouterr().err


def test_scripts_take_both(configs, tmp_path):
    distil = ["knowledge_distillation_train.py", configs["distill"], "--checkpoint-t", tmp_path / "none"]
    assert f"{tmp_path / 'none'}: no teacher checkpoint there" in run_script(*distil, "--batch-size=2", code=2)
    distil[2] = "--checkpoint_t"
    assert "expected 1 or more" in run_script(*distil, "--max_steps", 0, code=2)


@pytest.mark.parametrize("script", sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("tools/*.py")))
def test_every_tool_has_help(script):
    assert "usage: " in run_script(script, "--help")


def test_help_comes_from_a_process_of_its_own_too(tmp_path):
    done = subprocess.run([sys.executable, ROOT / "test.py", "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "--batch-size" in done.stdout


def test_the_config_comes_first(configs, tmp_path):
    checkpoint = tmp_path / "checkpoint_last.pth.tar"
    checkpoint.write_bytes(b"")
    for command in (["test.py", checkpoint, configs["student"]], ["batch_eval.py", tmp_path, configs["student"]]):
        assert f"error: {command[1]}: is no config, " in (output := run_script(*command, code=2))
        assert "the config comes first" in output


def test_a_number_of_devices_that_there_is_not(configs, tmp_path):
    train = ["train.py", configs["student"], "--device", "cpu", "--work-dir", tmp_path, "--devices"]
    for number in (0, -1):
        assert f"error: --devices {number}: expected 1 or more processes\n" in run_script(*train, number, code=2)


def test_processes_beside_the_first_one_say_only_what_they_alone_know(monkeypatch, capsys):
    """Each would say the same: what is trained on, what has changed since; but each reads images of its own."""

    def main(args) -> None:
        logging.getLogger("engine.training.run").info("an overview")
        logging.getLogger("engine.training.resume").warning("a change")
        logging.getLogger("dataset.image_dataset").warning("an image")
        logging.getLogger("engine.training.run").error("an error")

    first = "an overview\na change\nan image\nan error\n"
    for rank, said in [("1", "an image\nan error\n"), ("0", first)]:
        monkeypatch.setenv("LOCAL_RANK", rank)
        cli.run(main, cli.parser("a script"), [])
        assert capsys.readouterr().err == said
