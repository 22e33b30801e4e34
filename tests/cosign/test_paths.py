"""Kinds of paths: what is there and what can be made is taken, all else is told before any work."""

import argparse
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from cosign import CosignError, paths


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file, a folder and a pipe."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (paths.old_file, "file"),
        (paths.old_file, "pipe"),
        (paths.old_folder, "folder"),
        (paths.old, "file"),
        (paths.old, "folder"),
        (paths.new_file, "file"),
        (paths.new_file, "new"),
        (paths.new_file, "a/b/new"),
        (paths.new_file, "folder/new"),
        (paths.new_file, "pipe"),
        (paths.new_file, "/dev/null"),
        (paths.new_folder, "folder"),
        (paths.new_folder, "a/b/new/"),
        (paths.json_target, "-"),
        (paths.json_target, "new"),
        (paths.name_or_path, "nothing"),
        (paths.name_or_path, "folder"),
    ],
)
def test_what_is_taken_and_nothing_is_made(kind: paths.Kind, text: str, here: Path) -> None:
    before = sorted(here.rglob("*"))
    value = kind(text)
    assert str(value) == text.rstrip("/")
    paths.check([("--one", kind, value)])
    paths.check([("--list", kind, [value]), ("--none", kind, None)])
    assert sorted(here.rglob("*")) == before


def look(kind: paths.Kind, text: str) -> None:
    paths.check([("--option", kind, kind(text))])


LONG = "x" * 256
NOWHERE = "No such file or directory"


@pytest.mark.parametrize(
    ("kinds", "text", "sentence"),
    [
        ("old_file old_folder old new_file new_folder json_target name_or_path", "", "is nothing"),
        ("old_file old_folder old new_file new_folder name_or_path", "a\0b", "no zero byte"),
        ("old_file old_folder old name_or_path", LONG, "File name too long; give another"),
        ("new_file new_folder json_target", LONG, "File name too long; choose another folder"),
        ("new_file new_folder json_target", f"a/{LONG}/b", "File name too long; choose"),
        ("new_file json_target", f"a/{'x' * 250}", "File name too long; choose another folder"),
        ("old_file old_folder old", "no/such", f"cannot read no/such: {NOWHERE}; give another"),
        ("old_file old_folder old", "file/x", "cannot read file/x: Not a directory"),
        ("old_file", "folder", "cannot read folder: it is a folder; give a file"),
        ("old_folder", "file", "cannot read file: it is no folder; give a folder"),
        ("old_file old", "/dev/zero", "cannot read /dev/zero: it is a device; give another"),
        ("new_file json_target", "folder", "cannot write folder: it is a folder; give the name"),
        ("new_file json_target", "new/", "cannot write new: it is a folder; give the name"),
        ("new_folder", "file", "cannot write file: it is a file; give a folder"),
        ("new_folder", "/dev/null", "cannot write /dev/null: it is a file; give a folder"),
        ("new_file new_folder", "file/x", "file is a file; choose another folder"),
        ("new_file new_folder json_target", "/proc/x", f"cannot write /proc/x: {NOWHERE}; choose"),
        ("new_file new_folder", "-", "called -; give a name. Only --json knows - as output"),
        ("new_file new_folder", "folder/-", "called -; give a name"),
    ],
)
def test_what_is_not_taken_is_a_sentence(kinds: str, text: str, sentence: str, here: Path) -> None:
    before = sorted(here.rglob("*"))
    for kind in kinds.split():
        with pytest.raises((argparse.ArgumentTypeError, CosignError)) as raised:
            look(getattr(paths, kind), text)
        assert sentence in str(raised.value)
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 400 + len(str(here))
    assert sorted(here.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_permissions(here: Path) -> None:
    (here / "folder").chmod(stat.S_IRUSR | stat.S_IXUSR)
    (here / "file").chmod(0)
    for kind, text in ((paths.new_file, "folder/x"), (paths.new_folder, "folder/x/y")):
        with pytest.raises(CosignError, match=f"cannot write {text}: Permission"):
            look(kind, text)
    with pytest.raises(CosignError, match="--option: cannot read file: Permission denied"):
        look(paths.old_file, "file")


def test_two_options_write_two_things() -> None:
    file, folder, target = paths.new_file, paths.new_folder, paths.json_target

    def check(*given: tuple[str, Any, Any]) -> None:
        paths.check(given)

    check(("--json", target, "-"), ("--plot", file, Path("a")), ("--html", file, None))
    check(("--json", target, "out/a"), ("--out", folder, Path("out")))
    for given in (
        (("--json", target, "a"), ("--plot", file, Path("a"))),
        (("--json", target, "a/../a"), ("--plot", file, Path("a"))),
        (("--out", folder, Path("a")), ("--json", target, "a")),
        (("--out", folder, Path("a/b")), ("--json", target, "a")),
    ):
        with pytest.raises(CosignError, match=r"^--.* and --.* both write .*; give different"):
            check(*given)
