"""The list of mistakes fits the project, and the tool tells killed, survived and broken ones apart."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

from errors import InputError
from tools.mutation_check import check
from tools.support.mistakes import Mistake, read_mistakes

CODE = "def double(x):\n    return 2 * x\n\n\ndef half(x):\n    while x > 100:\n        x -= 1\n    return x / 2\n"
TESTS = """
import pytest
from numbers_of import double, half


@pytest.mark.parametrize("x", [0, 3])
def test_double(x):
    assert double(x) == 2 * x


def test_half_of_nothing():
    assert half(0) == 0


def test_half_of_much():
    assert half(200) == 50


def test_that_fails():
    assert double(1) == 3
"""


def mistakes_of(name: str) -> list[Mistake]:
    return [mistake for mistake in read_mistakes(ROOT) if mistake.file.startswith(name)]


def test_every_mistake_can_be_made_and_its_tests_are_there():
    mistakes = read_mistakes(ROOT)  # refuses old texts that are not there exactly once
    assert len(mistakes) >= 75 and all(mistake.tests for mistake in mistakes)
    for package in ("annotations", "dataset", "distillation", "engine", "eval", "models", "post_processing"):
        assert mistakes_of(package), package
    for name in {test for mistake in mistakes for test in mistake.tests}:
        file, _, test = name.partition("::")
        functions = {node.name for node in ast.walk(ast.parse((ROOT / file).read_text())) if hasattr(node, "name")}
        assert not test or test.partition("[")[0] in functions, name


@pytest.fixture
def project(tmp_path) -> Path:
    """A project of one module, under git."""
    root = tmp_path / "project"
    (root / "tests").mkdir(parents=True)
    (root / "numbers_of.py").write_text(CODE)
    (root / "tests" / "test_numbers.py").write_text(TESTS)
    (root / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n')
    (root / ".gitignore").write_text("__pycache__/\n")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return root


def mistake(name: str, old: str, new: str, *tests: str) -> Mistake:
    return Mistake(name, "numbers_of.py", old, new, tuple(f"tests/test_numbers.py::{test}" for test in tests))


def test_killed_survived_and_broken(project):
    mistakes = [
        mistake("seen", "2 * x", "3 * x", "test_double"),
        mistake("seen by the second", "x / 2", "x / 3", "test_half_of_nothing", "test_half_of_much"),
        mistake("not seen", "x / 2", "x / 3", "test_half_of_nothing"),
        mistake("endless", "x -= 1", "x += 1", "test_half_of_much"),
        mistake("fails anyway", "2 * x", "3 * x", "test_that_fails"),
        mistake("no such test", "2 * x", "3 * x", "test_doubles"),
        mistake("no such function", "def half", "def halve", "test_half_of_much"),
    ]
    found = {mistake.name: outcome for mistake, outcome in check(project, mistakes, jobs=2, seconds=8)}
    assert {name: outcome.verdict for name, outcome in found.items()} == {
        "seen": "killed",
        "seen by the second": "killed",
        "not seen": "survived",
        "endless": "killed",
        "fails anyway": "broken",
        "no such test": "broken",
        "no such function": "broken",
    }
    assert found["seen"].how == "tests/test_numbers.py::test_double[3]"
    assert found["endless"].how == "the tests do not end"
    assert (project / "numbers_of.py").read_text() == CODE and not list(project.rglob("__pycache__"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (mistake("a", "3 * x", "2 * x"), "'a': numbers_of.py holds its old text 0 times"),
        (mistake("a", "return", "yield"), "'a': numbers_of.py holds its old text 2 times"),
        (mistake("a", "2 * x", "2 ** * x"), "'a': its new text is no Python"),
        (Mistake("a", "none.py", "2", "3", ()), "'a': no file none.py"),
    ],
)
def test_mistakes_that_cannot_be_made_are_refused(project, changed, message):
    with pytest.raises(InputError, match=message):
        changed.applied(project)
