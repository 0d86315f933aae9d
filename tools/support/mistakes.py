"""The mistakes that `tools/mutation_check.py` makes: what one is, and the lists of them, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10, where pytest brings it
    import tomli as tomllib

from errors import InputError

LIST = Path("tools/mutations")


@dataclass(frozen=True)
class Mistake:
    """One change of one file.

    Attributes:
        name: what is wrong with it.
        file: below the root of the project.
        old, new: the text that is replaced, which the file holds once, and what takes its place.
        tests: node ids of pytest; one without parameters stands for all of them.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def applied(self, root: Path) -> str:
        """The file's text with the mistake; InputError unless the old text is there once, and Python stays Python."""
        path = root / self.file
        if not path.is_file():
            raise InputError(f"mistake '{self.name}': no file {self.file}")
        text = path.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise InputError(f"mistake '{self.name}': {self.file} holds its old text {text.count(self.old)} times")
        text = text.replace(self.old, self.new)
        if path.suffix == ".py":
            try:
                compile(text, self.file, "exec")
            except SyntaxError as error:
                raise InputError(f"mistake '{self.name}': its new text is no Python: {error}") from error
        return text


def read_mistakes(root: Path) -> list[Mistake]:
    """The mistakes of all lists, checked; InputError names one that is not as it should be."""
    found = []
    for path in sorted((root / LIST).glob("*.toml")):
        for entry in tomllib.loads(path.read_text(encoding="utf-8"))["mistake"]:
            found.append(Mistake(**{**entry, "tests": tuple(entry["tests"])}))
            found[-1].applied(root)
    repeated = {mistake.name for mistake in found if sum(mistake.name == other.name for other in found) > 1}
    if repeated or not found:
        raise InputError(f"{LIST}: {f'has two mistakes {min(repeated)!r}' if repeated else 'has no mistake'}")
    return found
