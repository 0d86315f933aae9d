"""Damage to the valid contents of `fuzz_inputs.py`: an input is the same for the same kind and seed."""

from __future__ import annotations

import json
import random
import re
from typing import Any

from tools.support.fuzz_inputs import Target

_TOKENS = (
    "nan", "inf", "-1", "0", "1e400", "-0.0", "1e-320", "9" * 400, "9" * 5000, "1" * 3000 + "e" * 3000, "", " ", "\0",
    "１", "1_0", '"', "'", "[" * 3000, "]" * 3000, "{" * 3000, "\\", "\\u0000", "###", ",", ",,,,", "\r", "\n\n",
    "\u2028", "true", "null", "Infinity", "<a>" * 3000, "&amp;", "\ufeff", "o" * 5000,
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 0.5, 1e308, -1e308, 10**400, 2**63, float("nan"), float("inf"), "", "a", "..", "\0",
    "a" * 999, [], {}, [[]], [0] * 999, [[0, 0]] * 999, {"counts": "o" * 9999, "size": [40, 60]}, 1e-300,
    [1, 1, 1e-17, 5],
)  # fmt: skip
_MOST = 1 << 21  # bytes of an input


def damaged(target: Target, seed: int) -> bytes:
    """An input: valid contents with one to four kinds of damage."""
    rng = random.Random(f"{target.name} {seed}")
    data = rng.choice(target.valid)
    if target.name.endswith(".json") and rng.random() < 0.7:
        content = json.loads(data)
        for _ in range(rng.choice((1, 1, 3))):
            content = _damaged_value(content, rng)
        data = json.dumps(content).encode("utf-8", "surrogatepass")
        if rng.random() < 0.7 and len(data) < _MOST:
            return data
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(_DAMAGES)(data, rng)
    return data[:_MOST]


def _damaged_value(content: Any, rng: random.Random) -> Any:
    """JSON content with a value replaced, left out or repeated, anywhere in it."""
    if not isinstance(content, (dict, list)) or not content or rng.random() < 0.1:
        return rng.choice(_VALUES)
    key = rng.choice(list(content)) if isinstance(content, dict) else rng.randrange(len(content))
    action = rng.random()
    content = content.copy()
    if action < 0.1:
        del content[key]
    elif action < 0.2 and isinstance(content, list):
        content *= rng.choice((2, 50))
    else:
        content[key] = _damaged_value(content[key], rng)
    return content


def _bytes_changed(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(min(rng.choice((1, 1, 2, 8, 64)), len(out))):
        out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)


def _part(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randint(0, len(data))
    return start, min(len(data), start + rng.choice((1, 2, 4, 8, 64, 1000)))


def _cut_out(data: bytes, rng: random.Random) -> bytes:
    start, end = _part(data, rng)
    return data[:start] + data[end:]


def _cut_off(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randint(0, len(data))]


def _repeated(data: bytes, rng: random.Random) -> bytes:
    start, end = _part(data, rng)
    return data[:end] + data[start:end] * rng.choice((1, 10, 1000, 20000)) + data[end:]


def _token_put(data: bytes, rng: random.Random) -> bytes:
    start, end = _part(data, rng)
    return data[:start] + rng.choice(_TOKENS).encode() + data[rng.choice((start, end)) :]


def _number_replaced(data: bytes, rng: random.Random) -> bytes:
    numbers = list(re.finditer(rb"\d+", data[: 1 << 14]))
    if not numbers:
        return data
    match = rng.choice(numbers)
    return data[: match.start()] + rng.choice(_TOKENS).encode() + data[match.end() :]


def _size_replaced(data: bytes, rng: random.Random) -> bytes:
    """Four bytes as sizes in binary files are written."""
    start = rng.randint(0, len(data))
    value = rng.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000000, rng.randrange(1 << 32)))
    return data[:start] + value.to_bytes(4, rng.choice(("little", "big"))) + data[start + 4 :]


_DAMAGES = (_bytes_changed, _cut_out, _cut_off, _repeated, _token_put, _number_replaced, _size_replaced)
