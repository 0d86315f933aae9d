"""The reader of MATLAB files, against scipy's, and on files that scipy's does not survive."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from matlab_files import cells, mat_bytes

from annotations.matlab import cell_text, load_variables
from errors import InputError

numbers = st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]).flatmap(
    lambda dtype: arrays(dtype, array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=4))
)
texts = st.text(
    st.characters(max_codepoint=0x24F, exclude_characters="\0", exclude_categories=["Cs", "Zs"]), max_size=9
)


def load(data: bytes, *names: str, **options: int) -> dict[str, np.ndarray]:
    return load_variables(data, names or ("a",), "f.mat", **options)


@settings(max_examples=60, deadline=None)
@given(numbers, st.booleans())
def test_numbers_are_those_that_scipy_reads(array, compressed):
    data = mat_bytes(compressed, a=array, b=np.zeros((2, 2)))
    expected = scipy.io.loadmat(io.BytesIO(data))["a"]
    found = load(data)["a"]
    assert found.shape == expected.shape and found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=40, deadline=None)
@given(st.lists(texts, min_size=1, max_size=3), st.booleans())
def test_cells_of_text_are_those_that_scipy_reads(words, compressed):
    data = mat_bytes(compressed, a=cells([words, words]))
    found, expected = load(data)["a"], scipy.io.loadmat(io.BytesIO(data))["a"]
    assert found.shape == expected.shape == (2, len(words))
    assert [cell_text(c) for c in found.flat] == [cell_text(c) for c in expected.flat] == [w.strip() for w in words * 2]


def test_text_of_several_rows_and_cells_in_cells():
    rows = mat_bytes(a=np.array(["one ", "more"]), b=cells([[cells([["x", np.int16([[1, 2]])]])]]))
    found = load(rows, "a", "b", "c")
    assert cell_text(found["a"]) == "one \nmore" and list(found) == ["a", "b"]
    inner = found["b"][0, 0]
    assert cell_text(inner[0, 0]) == "x" and inner[0, 1].tolist() == [[1, 2]]


def element(kind: int, data: bytes, order: str) -> bytes:
    return struct.pack(f"{order}II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def matrix(order: str, flags: int, shape: tuple[int, ...], content: bytes, name: bytes = b"a") -> bytes:
    head = element(6, struct.pack(f"{order}II", flags, 0), order)
    head += element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
    return element(14, head + element(1, name, order) + content, order)


def file_of(order: str, *variables: bytes) -> bytes:
    return (
        b"MATLAB 5.0 MAT-file".ljust(124)
        + struct.pack(f"{order}H", 0x100)
        + {"<": b"IM", ">": b"MI"}[order]
        + b"".join(variables)
    )


@pytest.mark.parametrize("order", ["<", ">"])
def test_either_byte_order_as_matlab_writes_text_and_numbers(order):
    text = matrix(order, 4, (1, 4), element(4, "café".encode("utf-16-le" if order == "<" else "utf-16-be"), order))
    values = matrix(order, 6, (2, 2), element(3, struct.pack(f"{order}4h", 1, 2, 3, -4), order), b"n")
    found = load(file_of(order, text, values), "a", "n")
    assert cell_text(found["a"]) == "café" and found["n"].tolist() == [[1, 3], [2, -4]]


def nested(depth: int) -> bytes:
    content = matrix("<", 6, (1, 1), element(9, struct.pack("<d", 1), "<"), b"")
    for level in range(depth):
        content = matrix("<", 1, (1, 1), content, b"a" if level == depth - 1 else b"")
    return file_of("<", content)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (nested(20_000), "cells nested too deep"),
        (file_of("<", matrix("<", 1, (1 << 30, 1), b"")), "1073741824 cells in 0 bytes"),
        (file_of("<", matrix("<", 6, (1 << 15, 1 << 15), element(9, b"", "<"))), "0 bytes for an array of the shape"),
        (file_of("<", matrix("<", 6, (-1, 1), element(9, b"", "<"))), r"an array of the shape \(-1, 1\)"),
        (file_of("<", matrix("<", 2, (1, 1), b"")), "an array of class 2"),
        (file_of("<", matrix("<", 4, (1, 4), element(99, b"abcd", "<"))), "text of type 99"),
        (file_of("<", struct.pack("<II", 14, 1 << 31)), "it ends within the element"),
        (mat_bytes(True, a=np.zeros((1, 20_000_000), np.uint8)), "unpacks to more than 8,388,608 bytes"),
        (mat_bytes(True, a=np.zeros((9, 9)))[:-20], "it ends within the element"),
        (b"MATLAB 7.3 MAT-file".ljust(126) + b"IM", "not its header"),
        (b"", "not its header"),
    ],
)
def test_what_is_refused(data, said):
    with pytest.raises(InputError, match=rf"f\.mat: cannot be read as a MATLAB file, .*{said}"):
        load(data)


def test_a_limit_can_be_raised():
    zeros = np.zeros((1, 9 << 20), np.uint8)
    assert load(mat_bytes(True, a=zeros), limit=10 << 20)["a"].shape == zeros.shape
