"""C and C++ compiled on first use: once, and what a missing or failing compiler says."""

import subprocess
import sys
from pathlib import Path

import pytest

from cosign import CosignError, native


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("COSIGN_CACHE", str(folder))
    return folder / "native"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("seven.c", "int class = 7; int seven(void) { return class; }"),
        (
            "seven.cpp",
            'template <int N> int of() { return N; } extern "C" int seven() { return of<7>(); }',
        ),
    ],
)
def test_a_file_is_compiled_once(name: str, text: str, tmp_path: Path, cache: Path):
    source = tmp_path / name
    source.write_text(text)
    assert native.library(source).seven() == 7
    (made,) = cache.glob("*/library.so")
    first = made.stat().st_mtime_ns
    assert native.library(source).seven() == 7
    assert made.stat().st_mtime_ns == first
    source.write_text(text.replace("7;", "8;").replace("<7>", "<8>"))
    assert native.library(source).seven() == 8
    assert len(list(cache.iterdir())) == 2


def test_a_library_cut_short_is_compiled_anew(tmp_path: Path, cache: Path):
    """In another process: this one would take the library that it has."""
    source = tmp_path / "seven.c"
    source.write_text("int seven(void) { return 7; }")
    program = (
        "import sys; from pathlib import Path; from cosign import native; "
        "print(native.library(Path(sys.argv[1])).seven())"
    )

    def answer() -> tuple[str, str]:
        command = [sys.executable, "-c", program, str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip(), done.stderr

    assert answer() == ("7", "")
    (made,) = cache.glob("*/library.so")
    whole = made.read_bytes()
    made.write_bytes(whole[: len(whole) // 2])
    assert answer() == ("7", f"cosign: {made.parent} is not as it was kept; it is made anew.\n")
    assert answer() == ("7", "")


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path, cache: Path, capsys):
    cache.parent.write_text("a file, not a folder")
    source = tmp_path / "seven.c"
    source.write_text("int seven(void) { return 7; }")
    assert native.library(source).seven() == 7
    assert f"nothing is kept for the next time: cannot write {cache}" in capsys.readouterr().err


def test_options_are_told_apart(tmp_path: Path):
    source = tmp_path / "value.c"
    source.write_text("int value(void) { return VALUE; }")
    assert [native.library(source, (f"-DVALUE={n}",)).value() for n in (1, 2)] == [1, 2]


def test_what_does_not_compile_is_a_sentence(tmp_path: Path, cache: Path):
    source = tmp_path / "broken.cpp"
    source.write_text("int broken( {")
    with pytest.raises(CosignError, match=r"failed to compile: .*broken\.cpp"):
        native.library(source)
    assert not cache.exists()


@pytest.mark.parametrize(("suffix", "package"), [(".c", "gcc"), (".cpp", "g++")])
def test_a_missing_compiler_is_named(suffix, package, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CosignError, match=rf"apt install {package.replace('+', '.')}"):
        native.library(tmp_path / f"any{suffix}")
