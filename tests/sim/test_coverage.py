"""Coverage: what is counted, and what is refused."""

from pathlib import Path

import pytest

from cosign import CosignError
from sim import coverage

VERILOG = """\
always @* begin
  if (guard) begin end
  a = b;
  if (c) begin
    a = 0;
  end
end
"""


def point(kind: str, line: int, lines: str, count: int, name: str = "block") -> str:
    fields = {"f": "cosign_core.v", "l": line, "page": f"{kind}/top", "o": name}
    if lines:
        fields["S"] = lines
    key = "".join(f"\x01{field}\x02{value}" for field, value in fields.items())
    return f"C '{key}' {count}\n"


@pytest.fixture
def simulators(tmp_path: Path, monkeypatch) -> Path:
    folder = tmp_path / "simulators" / "sparse-0123-45"
    folder.mkdir(parents=True)
    (folder / "cosign_core.v").write_text(VERILOG)
    monkeypatch.setattr(coverage, "simulators_dir", lambda: tmp_path / "simulators")
    return tmp_path


def test_runs_of_a_core_add_up_and_idle_lines_do_not_count(simulators):
    head = "# SystemC::Coverage-3\n"
    once = point("v_line", 1, "1-4", 7) + point("v_branch", 4, "5", 0)
    toggles = point("v_toggle", 1, "", 0, "a[0]") + point("v_toggle", 1, "", 2, "a[1]")
    (simulators / "sparse-0123-45-aa.dat").write_text(head + once + toggles)
    (found,) = coverage.collect(simulators)
    assert (found.core, found.lines, found.lines_hit) == ("sparse-0123", 4, 3)
    assert (found.toggles, found.toggles_hit, found.missed) == (2, 1, (5,))
    again = point("v_branch", 4, "5", 1) + point("v_toggle", 1, "", 1, "a[0]")
    (simulators / "sparse-0123-45-bb.dat").write_text(head + again)
    (found,) = coverage.collect(simulators)
    assert (found.lines_hit, found.toggles_hit, found.missed) == (4, 2, ())


def test_what_is_no_coverage_is_refused(simulators):
    with pytest.raises(CosignError, match="there are no coverage files"):
        coverage.collect(simulators)
    (simulators / "sparse-0123-45-aa.dat").write_text("# head\nC 'x' many\n")
    with pytest.raises(CosignError, match="line 2: not a line"):
        coverage.collect(simulators)
    (simulators / "sparse-0123-45-aa.dat").rename(simulators / "dense-0123-45-aa.dat")
    with pytest.raises(CosignError, match="simulate again"):
        coverage.collect(simulators)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("C 'x' ²", "line 2: not a line of Verilator's coverage"),
        (f"C 'x' {'9' * 5000}", "line 2: not a line"),
        ("C 'x' 1", "line 2: not a line"),
        ("C '\x01f\x02cosign_core.v\x01page\x02v_line/top' 1", "line 2: not a line"),
        (point("v_line", 1, "1-", 1).replace("1-", "x"), "line 2: 'x' are no lines of Verilog"),
        (point("v_line", 1, "9-1", 1), "line 2: '9-1' are no lines of Verilog"),
        (point("v_line", 1, "1-9999999999", 1), "are no lines of Verilog"),
        (point("v_line", 1, "0", 1), "'0' are no lines of Verilog"),
        ("\0" * 100, "line 2: not a line"),
    ],
)
def test_a_damaged_file_is_refused_by_its_line(line, sentence, simulators):
    file = simulators / "sparse-0123-45-aa.dat"
    file.write_text(f"# head\n{line}\n")
    with pytest.raises(CosignError, match=f"{sentence}.*; delete the file and simulate again") as e:
        coverage.collect(simulators)
    assert str(file) in str(e.value)
    assert "\n" not in str(e.value)
