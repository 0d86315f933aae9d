"""Files that are read: regular ones, of bounded size; names that are hidden or written in another way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from errors import InputError
from eval import PROTOCOLS
from files import composed, is_hidden, open_regular, read_bytes, read_text


def test_what_is_read(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffCafé\r\n".encode())
    assert read_text(path) == "Café\r\n" and read_bytes(path, limit=10) == path.read_bytes()
    with open_regular(path) as file:
        assert file.read(3) == b"\xef\xbb\xbf"


def test_what_is_refused(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xff" * 10)
    with pytest.raises(InputError, match=r"a\.txt: is larger than 9 bytes"):
        read_bytes(path, limit=9)
    with pytest.raises(InputError, match=r"a\.txt: byte 0 is not UTF-8 text"):
        read_text(path)
    with pytest.raises(InputError, match=r"nowhere: cannot be opened \(No such file"):
        read_bytes(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"cannot be opened \(embedded null byte\)"):
        read_bytes("a\0b")


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_no_regular_file(tmp_path, kind):
    path = tmp_path / "res_1.txt"
    {"pipe": os.mkfifo, "folder": Path.mkdir, "device": lambda p: p.symlink_to("/dev/zero")}[kind](path)
    with pytest.raises(InputError, match=r"res_1\.txt: is no regular file"):
        read_bytes(path)
    if kind != "folder":  # which holds no results, as any folder
        with pytest.raises(InputError, match=r"res_1\.txt: is no regular file"):
            PROTOCOLS["icdar2015"].results.read(tmp_path)


def test_names():
    hidden = (".DS_Store", "._gt_img_1.txt", ".ipynb_checkpoints", "Thumbs.db", "desktop.ini")
    assert all(map(is_hidden, hidden)) and not any(map(is_hidden, ("a.txt", "img_1.jpg", "thumbs.txt")))
    assert composed("Cafe\u0301.jpg") == "Caf\u00e9.jpg" == composed("Caf\u00e9.jpg")
