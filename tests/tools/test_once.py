"""Commands that are run once: again when something has changed, never on from what belongs to something else."""

import json

import pytest

from errors import InputError
from tools.demo.once import Once

SCRIPT = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
with open(folder / "calls.txt", "a") as calls:
    calls.write(" ".join(sys.argv[2:]) + f" from {(folder / 'state').exists()}\\n")
(folder / "state").touch()
time.sleep(0.2)
if not (folder / "broken").exists():
    (folder / "product").touch()
sys.exit((folder / "failing").exists())
"""


@pytest.fixture
def once(tmp_path):
    """A function: key to the command of that key."""
    (tmp_path / "script.py").write_text(SCRIPT)
    arguments = [tmp_path / "script.py", tmp_path]
    return lambda key: Once(tmp_path / "run", key, tmp_path / "product", arguments, resume=tmp_path / "state")


def calls(folder) -> list[str]:
    return [line.strip() for line in (folder / "calls.txt").read_text().splitlines()]


def test_a_finished_command_is_not_run_again(once, tmp_path):
    assert once("a").seconds is None
    assert once("a")() == once("a").seconds
    assert once("b").seconds is None
    (tmp_path / "product").unlink()
    assert once("a").seconds is None


def test_an_interrupted_one_goes_on(once, tmp_path):
    (tmp_path / "failing").touch()
    with pytest.raises(InputError, match="step 'run' ended with exit code 1"):
        once("a")()
    assert once("a").seconds is None
    first = json.loads((tmp_path / "run.started.json").read_text())["seconds"]
    (tmp_path / "failing").unlink()
    assert once("a")() > first  # the time of both
    assert calls(tmp_path) == ["from False", "--resume from True"]


def test_nothing_goes_on_from_a_run_of_another_key(once, tmp_path):
    once("a")()
    (tmp_path / "failing").touch()
    with pytest.raises(InputError):
        once("b")()  # begins anew, and is interrupted
    (tmp_path / "failing").unlink()
    once("b")()
    once("a")()
    assert calls(tmp_path) == ["from False", "from False", "--resume from True", "from False"]


def test_a_lost_product_is_made_anew(once, tmp_path):
    once("a")()
    (tmp_path / "product").unlink()
    once("a")()
    assert calls(tmp_path) == ["from False", "from False"]


def test_a_command_that_writes_no_product_has_failed(once, tmp_path):
    (tmp_path / "broken").touch()
    with pytest.raises(InputError, match="without writing"):
        once("a")()
    assert once("a").seconds is None


def test_a_command_that_cannot_resume_is_not_asked_to(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = Once(tmp_path / "run", "a", tmp_path / "product", [tmp_path / "script.py", tmp_path])
    (tmp_path / "failing").touch()
    for _ in range(2):
        with pytest.raises(InputError):
            command()
    assert calls(tmp_path) == ["from False", "from True"]
