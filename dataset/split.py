"""Split of a data set as described by a config: checked, not read yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import InputError
from keywords import keywords


@dataclass(frozen=True)
class Split:
    """Source of samples, and their transform to network input.

    Attributes:
        root: folder of the data.
        reader: class that reads the annotations there.
        options: further arguments of the reader.
        transform: function from an image (H, W, 3), a record and a random generator to a sample.
    """

    root: Path
    reader: Callable[..., Any]
    options: Mapping[str, Any]
    transform: Callable[..., Any]


def make_split(
    field: str, reader: type, given: set[str], transform: type, options: Mapping[str, Any], root: Path | str
) -> Split:
    """Divides the options of a section between reader and transform.

    Args:
        field: name of the config field, for messages.
        reader, transform: classes.
        given: arguments of the reader that no config may set.
        options: options of the section without `type`.
        root: `data.root`; a `root` among the options overrides it.

    Raises:
        InputError: an option that neither accepts.
    """
    of_reader = keywords(reader).keys() - given
    known = of_reader | keywords(transform).keys()
    for key in sorted(options.keys() - known - {"root"}):
        raise InputError(f"{field}.{key} is not an option; remove it, or use one of: {', '.join(sorted(known))}")
    own = {key: options[key] for key in options if key in of_reader}
    rest = {key: value for key, value in options.items() if key not in {"root", *own}}
    if not isinstance(options.get("root", root), str | Path):
        raise InputError(f"{field}.root={options['root']!r}: expected the path of a folder")
    return Split(Path(options.get("root", root)), reader, own, transform(**rest))
