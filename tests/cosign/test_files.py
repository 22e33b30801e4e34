"""Files are whole or not there."""

import errno
import functools
import hashlib
import json
import os
import shutil
import stat
import tempfile

import pytest

from cosign import CosignError, atomic_write, read_json, scratch, sha256, write_json


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "folder" / "file"
    with atomic_write(path) as file:
        file.write(b"old")
    with pytest.raises(RuntimeError), atomic_write(path) as file:
        file.write(b"half of the new")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["file"]


def test_a_full_disk_is_one_sentence(tmp_path):
    """Writes go to /dev/full, which accepts the opening and refuses the bytes."""
    with (
        pytest.raises(CosignError, match="No space left"),
        open("/dev/full", "wb") as full,
        atomic_write(tmp_path / "file") as file,
    ):
        os.dup2(full.fileno(), file.fileno())
        file.write(b"x")
    assert os.listdir(tmp_path) == []


def test_an_unwritable_place_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CosignError, match="cannot write"):
        write_json(tmp_path / "file" / "below", {})


def test_json_round_trip_and_errors(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, {"a": [1, 2.5, None]})
    assert read_json(path) == {"a": [1, 2.5, None]}
    path.write_text("{")
    with pytest.raises(CosignError, match="not valid JSON"):
        read_json(path)
    with pytest.raises(CosignError, match="cannot read"):
        read_json(tmp_path / "missing.json")


def test_sha256(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256(tmp_path / "f") == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_what_is_written_obeys_the_umask(umask, mode, tmp_path):
    before = os.umask(umask)
    try:
        write_json(tmp_path / "file", {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_the_longest_names_can_be_written(tmp_path):
    for name in ("n" * 255, "ö" * 127):
        write_json(tmp_path / name, {})
    assert len(os.listdir(tmp_path)) == 2


def test_a_temporary_folder_goes_with_its_block(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(RuntimeError), scratch("test") as folder:
        (folder / "file").write_text("half")
        assert folder.name.startswith("cosign-test-")
        raise RuntimeError
    assert os.listdir(tmp_path) == []


def test_no_place_for_temporary_files_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with (
        pytest.raises(CosignError, match=r"cannot make a temporary folder: No such file .* TMPDIR"),
        scratch("test"),
    ):
        pass


def _is_full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _tool_says():
    raise CosignError("g++ ended with status 1; it said: a.s: No space left on device.")


def _half_a_file(monkeypatch):
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    json.loads('{"modules": {"co')


@pytest.mark.parametrize("fails", [_is_full, _tool_says, _half_a_file])
def test_a_full_disk_of_temporary_files_is_told(fails, monkeypatch):
    if fails is _half_a_file:
        fails = functools.partial(fails, monkeypatch)
    told = r"the disk of .*cosign-test-.* is full: .*TMPDIR"
    with pytest.raises(CosignError, match=told), scratch("test"):
        fails()


def test_a_file_there_is_told_as_the_disk():
    told = r"the disk of .*cosign-test-.* is full: .*TMPDIR"
    with (
        pytest.raises(CosignError, match=told),
        scratch("test") as folder,
        atomic_write(folder / "file"),
    ):
        _is_full()


def test_what_else_is_full_is_told_by_its_own_name(tmp_path):
    told = r"cannot write .*file: No space left"
    with (
        pytest.raises(CosignError, match=told),
        scratch("test"),
        atomic_write(tmp_path / "file"),
    ):
        _is_full()
