"""Digests of model files and folders; what is no model file is refused at once, in one line."""

import gzip
import hashlib
import os
import socket

import numpy as np
import pytest

from tf_compleak.studies.audit import model_files
from tf_compleak.studies.audit.model_files import content


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "model"
    (root / "variables").mkdir(parents=True)
    (root / "saved_model.pb").write_bytes(b"graph" * 1000)
    (root / "variables" / "data").write_bytes(np.random.default_rng(0).bytes(3000))
    return root


def test_a_file_is_digested_in_blocks(tmp_path, monkeypatch):
    data = np.random.default_rng(0).integers(0, 9, 300_000, dtype=np.uint8).tobytes()
    (tmp_path / "m.tflite").write_bytes(data)
    monkeypatch.setattr(model_files, "BLOCK", 1000)
    found = content(str(tmp_path / "m.tflite"))
    assert found["sha256"] == hashlib.sha256(b"\0" + hashlib.sha256(data).digest()).hexdigest()
    assert found["bytes"] == len(data)
    assert found["gzip_bytes"] == len(gzip.compress(data, 9, mtime=0))


def test_a_folder_is_all_its_files_and_their_names(folder):
    whole = content(str(folder))
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert whole["bytes"] == sum(path.stat().st_size for path in files)
    (folder / "variables" / "data").rename(folder / "variables" / "atad")
    renamed = content(str(folder))
    assert renamed["sha256"] != whole["sha256"] and renamed["bytes"] == whole["bytes"]


def test_links_within_a_folder_are_read_and_links_out_of_it_refused(folder, tmp_path):
    (folder / "again").symlink_to("saved_model.pb")
    (folder / "turned").symlink_to("variables")
    first = content(str(folder))
    assert first["bytes"] == 5000 + 5000 + 3000
    (folder / "turned").unlink()
    (folder / "turned").symlink_to(".")
    assert content(str(folder))["sha256"] != first["sha256"]
    (tmp_path / "linked").symlink_to(folder)  # the user's own link to the folder
    assert content(str(tmp_path / "linked")) == content(str(folder))
    for target in ("/etc/passwd", "../outside", "loop", "/", ".."):
        link = folder / "loop"
        link.symlink_to(target)
        with pytest.raises(ValueError, match=r"'loop' is a link that leads nowhere or out"):
            content(str(folder))
        link.unlink()


def special(kind, path):
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    else:
        path.symlink_to("/dev/zero")


@pytest.mark.parametrize("kind", ["fifo", "socket", "device"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, kind, folder):
    special(kind, tmp_path / "m")
    with pytest.raises(ValueError, match="a regular file is needed") as caught:
        content(str(tmp_path / "m"))
    assert "\n" not in str(caught.value)
    special(kind, folder / "m")
    with pytest.raises(ValueError, match=r"'m' is a .*; a regular file is|out of the folder"):
        content(str(folder))


def test_folders_are_bounded(folder, monkeypatch):
    monkeypatch.setattr(model_files, "MOST", 3)
    content(str(folder))
    (folder / "more").touch()
    with pytest.raises(ValueError, match="more than 3 files"):
        content(str(folder))
    monkeypatch.undo()
    deep = folder.joinpath(*["d"] * model_files.DEEPEST)
    deep.mkdir(parents=True)
    with pytest.raises(ValueError, match="folders more than 16 deep"):
        content(str(folder))


def test_what_is_not_there_or_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file; --versions"):
        content(str(tmp_path / "m.tflite"))
    with pytest.raises(OSError, match=r"cannot be read \(File name too long\)"):
        content("m" * 300)
