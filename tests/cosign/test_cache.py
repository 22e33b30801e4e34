"""What is kept between runs is believed as long as it is what was kept."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cosign import cache

FILES = {"core.json": b'{"fmax_hz": 1e9}', "netlist.v": b"module a; endmodule\n" * 100}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSIGN_CACHE", str(tmp_path / "cache"))


def kept() -> Path:
    entry = cache.entry("room", {"of": "what"})
    cache.keep(entry, FILES)
    assert cache.intact(entry, FILES)
    return entry


def test_an_entry_is_whole_and_told_by_what_it_is_of() -> None:
    assert not cache.intact(cache.entry("room", {"of": "what"}))
    entry = kept()
    assert {path.name for path in entry.iterdir()} == {*FILES, "digests.json"}
    assert all((entry / name).read_bytes() == content for name, content in FILES.items())
    assert not cache.intact(entry, ["core.json", "another"])
    assert cache.entry("room", {"of": "another"}) != entry
    assert os.listdir(entry.parent) == [entry.name]


def _edited(entry: Path) -> None:
    path = entry / "core.json"
    path.write_text(path.read_text().replace("1e9", "9e9"))


def _flipped(entry: Path) -> None:
    content = bytearray((entry / "netlist.v").read_bytes())
    content[500] ^= 1
    (entry / "netlist.v").write_bytes(content)


def _cut(entry: Path) -> None:
    os.truncate(entry / "netlist.v", 100)


def _emptied(entry: Path) -> None:
    os.truncate(entry / "netlist.v", 0)


def _folder_in_place_of_a_file(entry: Path) -> None:
    (entry / "netlist.v").unlink()
    (entry / "netlist.v").mkdir()


def _pipe(entry: Path) -> None:
    (entry / "netlist.v").unlink()
    os.mkfifo(entry / "netlist.v")


def _dangling(entry: Path) -> None:
    (entry / "netlist.v").unlink()
    (entry / "netlist.v").symlink_to("nowhere")


def _file_in_place_of_the_entry(entry: Path) -> None:
    shutil.rmtree(entry)
    entry.write_text("")


def _another_entry(entry: Path) -> None:
    other = cache.entry("room", {"of": "another"})
    cache.keep(other, {**FILES, "core.json": b'{"fmax_hz": 2e9}'})
    shutil.rmtree(entry)
    shutil.copytree(other, entry)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "edited": _edited,
    "flipped": _flipped,
    "cut": _cut,
    "emptied": _emptied,
    "missing": lambda entry: (entry / "netlist.v").unlink(),
    "more": lambda entry: (entry / "more").write_bytes(b""),
    "folder": _folder_in_place_of_a_file,
    "pipe": _pipe,
    "dangling": _dangling,
    "no digests": lambda entry: (entry / "digests.json").unlink(),
    "odd digests": lambda entry: (entry / "digests.json").write_text("[1]"),
    "nested digests": lambda entry: (entry / "digests.json").write_text("[" * 100_000),
    "no text": lambda entry: (entry / "digests.json").write_bytes(b"\xff\xfe"),
    "a file": _file_in_place_of_the_entry,
    "another": _another_entry,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_said_once_and_repaired(
    damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    entry = kept()
    damage(entry)
    assert not cache.intact(entry, FILES)
    assert not cache.intact(entry, FILES)
    said = capsys.readouterr().err
    assert said == f"cosign: {entry} is not as it was kept; it is made anew.\n"
    cache.keep(entry, FILES)
    assert cache.intact(entry, FILES)
    assert all((entry / name).read_bytes() == content for name, content in FILES.items())
    assert capsys.readouterr().err == ""


def test_who_comes_second_leaves_what_is_there(tmp_path: Path) -> None:
    entry = kept()
    before = (entry / "core.json").stat()
    cache.keep(entry, {"core.json": b"of a slower process"})
    assert (entry / "core.json").stat() == before


def test_a_block_that_fails_leaves_nothing() -> None:
    entry = cache.entry("room", 1)
    with pytest.raises(RuntimeError), cache.fresh(entry) as folder:
        (folder / "half").write_text("of it")
        raise RuntimeError
    assert os.listdir(entry.parent) == []


def test_a_cache_that_cannot_be_written_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COSIGN_CACHE", str(tmp_path / "file"))
    for number in range(2):
        cache.keep(cache.entry("room", number), FILES)
    said = capsys.readouterr().err
    assert said.count("nothing is kept for the next time: cannot write") == 1
    assert "set COSIGN_CACHE to another folder" in said


def test_cache_dir_obeys_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache.cache_dir() == tmp_path / "cache"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COSIGN_CACHE", "beside me")
    assert cache.cache_dir() == tmp_path / "beside me"
    monkeypatch.delenv("COSIGN_CACHE")
    assert cache.cache_dir().name == "cosign"
