"""Users without a home, or with one that cannot be written."""

import os
import pwd
import tempfile
from pathlib import Path

import pytest

from cosign import CosignError, cache, environment

NAMES = ("HOME", "COSIGN_CACHE", "XDG_CACHE_HOME", "MPLCONFIGDIR")


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files; nothing is said of a home."""
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that it is put back in the end
        monkeypatch.delenv(name)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.usefixtures("nobody")
def test_a_user_without_a_home_has_a_folder_of_his_own(temporary: Path) -> None:
    folder = cache.cache_dir()
    assert folder.parent.parent == temporary
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    environment.prepare()
    assert Path.home() == folder.parent
    assert temporary in cache.cache_dir().parents


@pytest.mark.usefixtures("nobody")
def test_where_others_could_write_nothing_is_kept() -> None:
    folder = environment.private()
    folder.chmod(0o777)  # another could have put a library there
    for ask in (cache.cache_dir, environment.prepare):
        with pytest.raises(CosignError, match="open to others; set HOME to a folder of yours"):
            ask()


def test_a_home_that_cannot_be_written(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").write_text("a file")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    environment.prepare()
    assert os.environ["HOME"] == str(tmp_path / "home")  # settings may be read there
    for place in (os.environ["XDG_CACHE_HOME"], os.environ["MPLCONFIGDIR"], cache.cache_dir()):
        assert temporary in Path(place).parents


def test_a_home_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    environment.prepare()
    assert [os.environ.get(name) for name in NAMES] == [str(tmp_path), None, None, None]
    assert cache.cache_dir() == tmp_path / ".cache" / "cosign"
