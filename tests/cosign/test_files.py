"""Files are whole or not there."""

import hashlib
import os

import pytest

from cosign import CosignError, atomic_write, cache_dir, read_json, sha256, write_json


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


def test_cache_dir_obeys_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("COSIGN_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("COSIGN_CACHE")
    assert cache_dir().name == "cosign"
