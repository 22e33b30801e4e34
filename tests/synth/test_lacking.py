"""Libraries that cannot be used: what is missing, where, and what to do."""

import gzip
from pathlib import Path

import pytest
import small_library as small

from cosign import CosignError
from synth.pdk import find_pdk

FURTHER = "give --liberty a further file of the kit that has one, or another library"
SCAN = small.flip_flop(
    "SDFF", state='next_state : "(SE & SI) | (!SE & D)"; clocked_on : "CK";', pins=("D", "SI", "SE")
)
HELD = small.gate("BUF_X1", 1.5, "A", extra="dont_use : true;")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            small.library(flip_flops=SCAN),
            rf"has only flip-flops with scan or enable \(SDFF\), and registers become D flip-flops "
            rf"without; {FURTHER}",
        ),
        (
            small.library(buffers=""),
            rf"has no buffer \(no cell gives the value of its one input\), and .*; {FURTHER}",
        ),
        (
            small.library(buffers=HELD),
            rf"has no buffer \(BUF_X1 may not be used: dont_use\), and large fan-outs .*{FURTHER}",
        ),
        (small.library(flip_flops=" "), "has no D flip-flop that registers can become"),
        ("library (empty) {}", "has no cells; give the library's file with cells"),
    ],
)
def test_what_a_library_lacks(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "kit.lib").write_text(text)
    with pytest.raises(CosignError, match=rf"kit\.lib .*{sentence}") as raised:
        find_pdk([tmp_path / "kit.lib"])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("packed", [False, True])
def test_an_include_that_is_not_there(packed: bool, tmp_path: Path) -> None:
    """Named with the file that asks for it, which may itself be included."""
    text = small.library().replace("{\n", '{ include_file ("more.inc");\n', 1).encode()
    (tmp_path / "kit.lib").write_bytes(gzip.compress(text) if packed else text)
    (tmp_path / "more.inc").write_text("include_file (sub/other.inc);")
    with pytest.raises(CosignError) as raised:
        find_pdk([tmp_path / "kit.lib"])
    assert str(raised.value) == (
        f"cannot read the Liberty file {tmp_path}/kit.lib: {tmp_path}/more.inc has include_file "
        f"(other.inc), and there is no file {tmp_path}/sub/other.inc; put it there, or give a "
        "library without includes."
    )
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "other.inc").write_text("")
    with pytest.raises(CosignError, match=r"other\.inc is not a Liberty file: it is empty"):
        find_pdk([tmp_path / "kit.lib"])
