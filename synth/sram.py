"""What memories cost: area under two models, timing as a Liberty black box.

`openram`: macros that OpenRAM laid out for FreePDK45 (one read-write port, typical corner, 1.0 V;
table openram_freepdk45.csv, made by benchmarks/openram_table.py), tiled to the words and bits
that a core asks for, folded (2, 4 or 8 words side by side) where that wastes fewer columns. The
decoders, multiplexers and write masks that tiling takes are not counted.
`flat`: 0.57 um2 per bit whatever the shape, as the CACTI-like fakeram45 macros have it: an
optimistic bound. Every result is quoted under both.

Timing is the table's under both: `q` follows the clock edge by the macro's access delay. (OpenRAM's
own control starts the read at the falling edge and so asks for a period of 1.0 to 1.5 ns; we assume
a self-timed macro that starts at the rising edge. All cores share the assumption.)
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from cosign import CosignError, atomic_write
from rtl.sram import Macro, address_bits

MODELS = ("openram", "flat")
FLAT_UM2_PER_BIT = 0.57
FOLDS = (1, 2, 4, 8)  # words of a memory that share a row of its macros
INPUT_FF = 3.0
DRIVE_NS_PER_FF = 0.001  # of the output driver, about that of a BUF_X2
OUTPUT_SLEW_NS = 0.02


@dataclass(frozen=True)
class MacroRow:
    """A generated layout: words x bits, area, clock-to-output delay and setup."""

    words: int
    bits: int
    area_um2: float
    access_ns: float
    setup_ns: float


@dataclass(frozen=True)
class Tiling:
    """`tiles` is [(count, row)]; areas add up, the slowest row sets the timing."""

    area_um2: float
    tiles: tuple[tuple[int, MacroRow], ...]

    @property
    def access_ns(self) -> float:
        return max(row.access_ns for _, row in self.tiles)

    @property
    def setup_ns(self) -> float:
        return max(row.setup_ns for _, row in self.tiles)


@cache
def table() -> tuple[MacroRow, ...]:
    """The committed OpenRAM macros."""
    text = resources.files("synth").joinpath("openram_freepdk45.csv").read_text()
    rows = csv.DictReader(text.splitlines())
    return tuple(
        MacroRow(
            int(row["words"]),
            int(row["bits"]),
            float(row["area_um2"]),
            float(row["access_ns"]),
            float(row["setup_ns"]),
        )
        for row in rows
    )


@cache
def tile(words: int, bits: int) -> Tiling:
    """The cheapest grid of table macros that holds words x bits, folded or not."""
    grids = [_grid(-(-words // fold), bits * fold) for fold in FOLDS]
    return min(grids, key=lambda tiling: tiling.area_um2)


def _grid(words: int, bits: int) -> Tiling:
    """The cheapest grid that covers words x bits.

    A column of the grid stacks macros of one width until it is `words` deep; columns of any widths
    stand side by side until they are `bits` wide. Both are exact covers by dynamic programming.
    """
    rows = table()
    columns: list[tuple[int, float, tuple[MacroRow, ...]]] = []
    for width in sorted({row.bits for row in rows}):
        of_width = [row for row in rows if row.bits == width]
        cost, picked = _cover(words, [(r.words, r.area_um2) for r in of_width])
        columns.append((width, cost, tuple(of_width[i] for i in picked)))
    area, chosen = _cover(bits, [(width, cost) for width, cost, _ in columns])
    counts: dict[MacroRow, int] = {}
    for index in chosen:
        for row in columns[index][2]:
            counts[row] = counts.get(row, 0) + 1
    return Tiling(area, tuple((count, row) for row, count in counts.items()))


def _cover(length: int, pieces: Sequence[tuple[int, float]]) -> tuple[float, tuple[int, ...]]:
    """Cheapest multiset of (size, cost) pieces with sizes adding up to at least `length`."""
    unit = math.gcd(*(size for size, _ in pieces))
    steps = [(size // unit, cost) for size, cost in pieces]
    left = -(-length // unit)
    best: list[tuple[float, int]] = [(0.0, -1)]
    for n in range(1, left + 1):
        best.append(min((best[max(0, n - s)][0] + c, i) for i, (s, c) in enumerate(steps)))
    total = best[left][0]
    picked = []
    while left > 0:
        picked.append(best[left][1])
        left -= steps[best[left][1]][0]
    return total, tuple(sorted(picked))


def area_um2(model: str, words: int, bits: int) -> float:
    """Area of one memory of words x bits. Raises CosignError for an unknown model."""
    if model == "flat":
        return FLAT_UM2_PER_BIT * words * bits
    if model == "openram":
        return tile(words, bits).area_um2
    raise CosignError(f"SRAM model {model!r} is not one of {', '.join(MODELS)}.")


def area_by_purpose(model: str, macros: Sequence[Macro]) -> dict[str, float]:
    """Area per purpose ("activation", "weight"), in square micrometres."""
    found: dict[str, float] = {}
    for macro in macros:
        area = macro.count * area_um2(model, macro.words, macro.bits)
        found[macro.purpose] = found.get(macro.purpose, 0.0) + area
    return found


def provenance(model: str) -> dict[str, str]:
    if model == "flat":
        return {"name": model, "source": f"{FLAT_UM2_PER_BIT} um2 per bit, optimistic bound"}
    return {
        "name": model,
        "source": "OpenRAM FreePDK45 layouts, 1RW, TT, 1.0 V, tiled and folded; decoders, "
        "multiplexers and write masks of the tiling not counted",
        "timing": "access delay after the rising clock edge (assumed self-timed; OpenRAM's own "
        "control starts at the falling edge and asks for 1.0 to 1.5 ns a cycle)",
    }


def write_liberty(macros: Sequence[Macro], path: Path) -> None:
    """Liberty black boxes of `macros` for Yosys and OpenSTA; loads in femtofarads."""
    kinds = {macro.name: macro for macro in macros}
    widths = sorted({w for m in kinds.values() for w in (m.bits, address_bits(m.words))})
    types = "".join(_bus_type(width) for width in widths)
    cells = "".join(_cell(macro) for macro in kinds.values())
    with atomic_write(path) as file:
        file.write((_HEADER + types + cells + "}\n").encode())


_HEADER = """\
library (cosign_sram) {
  delay_model : table_lookup;
  time_unit : "1ns";
  voltage_unit : "1V";
  current_unit : "1mA";
  pulling_resistance_unit : "1kohm";
  leakage_power_unit : "1nW";
  capacitive_load_unit (1,ff);
  input_threshold_pct_rise : 50.0;
  input_threshold_pct_fall : 50.0;
  output_threshold_pct_rise : 50.0;
  output_threshold_pct_fall : 50.0;
  slew_lower_threshold_pct_rise : 30.0;
  slew_lower_threshold_pct_fall : 30.0;
  slew_upper_threshold_pct_rise : 70.0;
  slew_upper_threshold_pct_fall : 70.0;
  lu_table_template (by_load) {
    variable_1 : total_output_net_capacitance;
    index_1 ("0.0, 100.0");
  }
"""


def _bus_type(width: int) -> str:
    return (
        f"  type (bus{width}) {{ base_type : array; data_type : bit; bit_width : {width}; "
        f"bit_from : {width - 1}; bit_to : 0; downto : true; }}\n"
    )


def _cell(macro: Macro) -> str:
    tiling = tile(macro.words, macro.bits)
    setup = "".join(
        f"timing () {{ related_pin : clk; timing_type : {kind}_rising; "
        f'rise_constraint (scalar) {{ values ("{value}"); }} '
        f'fall_constraint (scalar) {{ values ("{value}"); }} }} '
        for kind, value in (("setup", tiling.setup_ns), ("hold", 0.0))
    )
    slow = tiling.access_ns + 100 * DRIVE_NS_PER_FF
    delay = f'values ("{tiling.access_ns:.4f}, {slow:.4f}");'
    slew = f'values ("{OUTPUT_SLEW_NS:.4f}, {OUTPUT_SLEW_NS + 100 * DRIVE_NS_PER_FF:.4f}");'
    read = (
        "timing () { related_pin : clk; timing_type : rising_edge; timing_sense : non_unate; "
        f"cell_rise (by_load) {{ {delay} }} cell_fall (by_load) {{ {delay} }} "
        f"rise_transition (by_load) {{ {slew} }} fall_transition (by_load) {{ {slew} }} }}"
    )
    lines = [
        f"  cell ({macro.name}) {{",
        f"    area : {tiling.area_um2:.1f};",
        "    interface_timing : true;",
        f"    pin (clk) {{ direction : input; clock : true; capacitance : {INPUT_FF}; }}",
    ]
    for pin in ("ce", "we"):
        lines.append(f"    pin ({pin}) {{ direction : input; capacitance : {INPUT_FF}; {setup}}}")
    for pin, width in (("addr", address_bits(macro.words)), ("d", macro.bits)):
        lines.append(
            f"    bus ({pin}) {{ bus_type : bus{width}; direction : input; "
            f"capacitance : {INPUT_FF}; {setup}}}"
        )
    lines.append(f"    bus (q) {{ bus_type : bus{macro.bits}; direction : output; {read} }}")
    return "\n".join([*lines, "  }", ""])
