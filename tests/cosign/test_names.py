"""Names as parts of paths, and what can be shown."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cosign.names import file_name, is_printable


@given(st.text())
def test_a_part_of_a_path_stays_in_its_folder(name: str) -> None:
    part = file_name(name)
    assert Path(part).name == part
    assert part not in ("", ".", "..")
    assert "\0" not in part
    assert len(part.encode()) <= 255


@given(st.text(), st.text())
def test_different_names_have_different_parts(one: str, two: str) -> None:
    assert (file_name(one) == file_name(two)) == (one == two)


def test_plain_names_stay_as_they_are() -> None:
    assert file_name("features.0.conv-1_b") == "features.0.conv-1_b"
    assert file_name("../../x") != file_name(".._.._x")
    assert file_name("x" * 300) != file_name("x" * 301)


def test_what_a_terminal_obeys_is_not_printable() -> None:
    assert is_printable("卷积 №1 (β) [/conv1] $x$")
    for name in ("\x1b[2J", "a\nb", "a\0", "\u202e", "\x7f"):
        assert not is_printable(name)
