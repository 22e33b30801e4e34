"""The bench's own promises: it sees a broken stream, and registers begin as anything."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import Steady

from cosign import CosignError
from rtl import verilog
from rtl.config import CoreConfig
from sim.build import BENCH, CXX_FLAGS, FLAGS, power_on, tools, without_initial_values

DRIVER = """
module driver;
  reg clk = 0, excused = 0, valid = 0, ready = 0;
  reg [7:0] payload = 0;
  reg [63:0] unknown;
  reg [7:0] memory [0:7];
  string steps;
  integer file;
  steady #(8, "watched") watched (.*);
  always #1 clk = !clk;
  initial begin
    $display("begins %h %h %h", unknown, memory[0], memory[7]);
    if (!$value$plusargs("steps=%s", steps)) $finish;
    file = $fopen(steps, "r");
  end
  always @(negedge clk)
    if ($fscanf(file, "%b %b %b %h", excused, valid, ready, payload) != 4) $finish;
endmodule
"""
Step = tuple[bool, bool, bool, int]
"""excused, valid, ready, payload in one clock cycle."""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("steady")
    (folder / "driver.sv").write_text(DRIVER)
    command = ["verilator", "--binary", *FLAGS, "-CFLAGS", CXX_FLAGS]
    command += ["--top-module", "driver", "-Mdir", folder]
    done = subprocess.run(
        [*command, folder / "driver.sv", BENCH / "steady.sv"],
        env=tools(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder / "Vdriver"


def run(driver: Path, steps: list[Step], seed: int = 1) -> subprocess.CompletedProcess[str]:
    lines = [f"{e:d} {v:d} {r:d} {p:x}\n" for e, v, r, p in steps]
    (driver.parent / "steps").write_text("".join(lines))
    arguments = [f"+steps={driver.parent / 'steps'}", *power_on(seed)]
    return subprocess.run([driver, *arguments], capture_output=True, text=True, check=False)


def promised(steps: list[Step]) -> bool:
    """Whether Steady finds nothing."""
    steady = Steady("watched")
    try:
        for excused, valid, ready, payload in steps:
            if excused:
                steady.forget()
            else:
                steady.cycle(valid, ready, payload)
    except AssertionError:
        return False
    return True


BROKEN: dict[str, list[Step]] = {
    "valid falls": [(False, True, False, 5), (False, False, False, 5)],
    "valid falls as ready rises": [(False, True, False, 5), (False, False, True, 5)],
    "payload changes": [(False, True, False, 5), (False, True, False, 6)],
    "payload changes as it is taken": [(False, True, False, 5), (False, True, True, 6)],
}


@pytest.mark.parametrize("steps", BROKEN.values(), ids=BROKEN)
def test_a_broken_promise_is_seen(driver: Path, steps: list[Step]) -> None:
    assert not promised(steps)
    done = run(driver, steps)
    assert "stream watched takes back what it offers" in done.stdout + done.stderr
    assert done.returncode
    excused = [(True, *steps[1][1:])]
    assert promised(steps[:1] + excused)
    assert run(driver, steps[:1] + excused).returncode == 0


steps_of_two_words = st.lists(
    st.tuples(
        st.integers(0, 9).map(lambda n: n == 0), st.booleans(), st.booleans(), st.integers(0, 1)
    )
)


@given(steps_of_two_words)
def test_the_checkers_in_verilog_and_in_python_agree(driver: Path, steps: list[Step]) -> None:
    assert (run(driver, steps).returncode == 0) == promised(steps)


def test_registers_and_memories_begin_as_anything_the_seed_says(driver: Path) -> None:
    first, again, other, zeros = (run(driver, [], seed).stdout.split() for seed in (1, 1, 2, 0))
    first, again, other, zeros = (
        words[words.index("begins") + 1 :][:3] for words in (first, again, other, zeros)
    )
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))
    assert {int(word, 16) for word in zeros} == {0}
    for seed in (-1, 1 << 31):
        with pytest.raises(CosignError, match="seed is 0 to"):
            power_on(seed)


def test_the_simulated_verilog_has_no_initial_value() -> None:
    text = verilog.generate(CoreConfig(lanes=2, act_banks=2))["cosign_core.v"]
    assert " = " in text.split("always", 1)[0]
    simulated = without_initial_values(text)
    assert "initial" not in simulated
    assert not [
        line for line in simulated.splitlines() if "reg " in line and "=" in line and ";" in line
    ]
    assert simulated.count("reg ") == text.count("reg ")
