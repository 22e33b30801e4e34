"""What memories cost: area under two models, energy per access, timing as a Liberty black box.

`openram`: macros that OpenRAM laid out for FreePDK45 (one read-write port, typical corner, 1.0 V;
table openram_freepdk45.csv, made by benchmarks/openram_table.py), tiled to the words and bits
that a core asks for, folded (2, 4 or 8 words side by side) where that wastes fewer columns. The
multiplexers, registered selects and enables between the macros are counted in NanGate 45 cells;
their delay and the write masks of folded words are not.
`flat`: 0.57 um2 per bit whatever the shape, as the CACTI-like fakeram45 macros have it: an
optimistic bound. Every result is quoted under both.

An access takes the energy of one macro in every column of the grid; the macros that are not
selected are taken to rest. Energy and leakage are OpenRAM's analytical estimates
(benchmarks/openram_table.py says of what), and the `flat` model, for which we have no source of its
own, reuses them.

Timing is the table's under both: `q` follows the clock edge by the macro's access delay. (OpenRAM's
own control starts the read at the falling edge and so asks for a period of 1.0 to 1.5 ns; we assume
a self-timed macro that starts at the rising edge. All cores share the assumption.)
"""

import csv
import dataclasses
import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from cosign import CosignError, atomic_write
from rtl.sram import Macro, address_bits

MODELS = ("openram", "flat")
FLAT_UM2_PER_BIT = 0.57
FOLDS = (1, 2, 4, 8)  # words of a memory that share a row of its macros
INPUT_FF = 3.0
DRIVE_NS_PER_FF = 0.001  # of the output driver, about that of a BUF_X2
OUTPUT_SLEW_NS = 0.02
# Areas of NanGate 45's MUX2_X1, DFF_X1, AND2_X1: what chooses among the macros of a column.
MUX_UM2, SELECT_UM2, ENABLE_UM2 = 1.862, 4.522, 1.064


@dataclass(frozen=True)
class MacroRow:
    """A generated layout: words x bits, area, clock-to-output delay and setup, energy of a read
    and of a write, leakage."""

    words: int
    bits: int
    area_um2: float
    access_ns: float
    setup_ns: float
    read_pj: float
    write_pj: float
    leakage_uw: float


@dataclass(frozen=True)
class Tiling:
    """A grid of macros: `columns` side by side, each a stack of rows of the table.

    `area_um2` is that of the macros, `selection_um2` that of the gates that choose among them.
    The slowest macro sets the timing. Energies are means over all addresses.
    """

    area_um2: float
    columns: tuple[tuple[MacroRow, ...], ...]
    fold: int
    bits: int

    @property
    def tiles(self) -> tuple[tuple[int, MacroRow], ...]:
        """[(count, row)]."""
        counts: dict[MacroRow, int] = {}
        for row in itertools.chain.from_iterable(self.columns):
            counts[row] = counts.get(row, 0) + 1
        return tuple((count, row) for row, count in counts.items())

    @property
    def selection_um2(self) -> float:
        """Per column a multiplexer to each bit, a select register and an enable to each macro but
        the first; the same between the words of a folded row."""
        area = 0.0
        for column in self.columns:
            others = len(column) - 1
            area += others * (column[0].bits * MUX_UM2 + SELECT_UM2 + ENABLE_UM2)
        return area + (self.fold - 1) * (self.bits * MUX_UM2 + SELECT_UM2)

    @property
    def read_pj(self) -> float:
        return sum(_mean(column, [row.read_pj for row in column]) for column in self.columns)

    @property
    def write_pj(self) -> float:
        return sum(_mean(column, [row.write_pj for row in column]) for column in self.columns)

    @property
    def leakage_uw(self) -> float:
        return sum(count * row.leakage_uw for count, row in self.tiles)

    @property
    def access_ns(self) -> float:
        return max(row.access_ns for _, row in self.tiles)

    @property
    def setup_ns(self) -> float:
        return max(row.setup_ns for _, row in self.tiles)


def _mean(column: Sequence[MacroRow], values: Sequence[float]) -> float:
    """Mean over the column's words."""
    words = [row.words for row in column]
    return sum(n * value for n, value in zip(words, values, strict=True)) / sum(words)


@cache
def table() -> tuple[MacroRow, ...]:
    """The committed OpenRAM macros."""
    text = resources.files("synth").joinpath("openram_freepdk45.csv").read_text()
    rows = csv.DictReader(text.splitlines())
    names = [field.name for field in dataclasses.fields(MacroRow)][2:]
    return tuple(
        MacroRow(int(row["words"]), int(row["bits"]), *(float(row[name]) for name in names))
        for row in rows
    )


INTERPOLATED = ("area_um2", "access_ns", "read_pj", "write_pj", "leakage_uw")


def interpolate(words: int, bits: int, rows: Sequence[MacroRow] | None = None) -> dict[str, float]:
    """{quantity: value} of a macro that OpenRAM was not asked for, from `rows` (the table).

    The logarithm of each quantity is a quadratic in log words and log bits, by least squares.
    Raises CosignError outside the table's words and bits, where nothing supports it.
    """
    rows = table() if rows is None else rows
    for name, value in (("words", words), ("bits", bits)):
        known = [getattr(row, name) for row in table()]
        if not min(known) <= value <= max(known):
            raise CosignError(
                f"a macro of {words}x{bits} lies outside the OpenRAM table, which has "
                f"{min(known)} to {max(known)} {name}; tile it of smaller macros."
            )
    terms = np.array([_terms(row.words, row.bits) for row in rows])
    found = {}
    for name in INTERPOLATED:
        logs = np.log([getattr(row, name) for row in rows])
        fit = np.linalg.lstsq(terms, logs, rcond=None)[0]
        found[name] = float(np.exp(fit @ _terms(words, bits)))
    return found


def _terms(words: int, bits: int) -> np.ndarray:
    w, b = math.log2(words), math.log2(bits)
    return np.array([1.0, w, b, w * b, w * w, b * b])


@cache
def held_out_errors() -> dict[str, dict[str, float]]:
    """{quantity: {"mean", "worst"}}: how far `interpolate` is off for each macro when the fit has
    not seen it, as a share of the macro's value."""
    errors: dict[str, list[float]] = {name: [] for name in INTERPOLATED}
    for row in table():
        guess = interpolate(row.words, row.bits, [other for other in table() if other != row])
        for name in INTERPOLATED:
            errors[name].append(abs(guess[name] / getattr(row, name) - 1))
    return {
        name: {"mean": round(sum(values) / len(values), 4), "worst": round(max(values), 4)}
        for name, values in errors.items()
    }


@cache
def tile(words: int, bits: int) -> Tiling:
    """The smallest grid of table macros that holds words x bits, folded or not; of equally large
    ones that of the least energy: a fold reads several words at once."""
    grids = [_grid(words, bits, fold) for fold in FOLDS]
    return min(grids, key=lambda tiling: (round(tiling.area_um2, 3), tiling.read_pj))


def _grid(memory_words: int, memory_bits: int, fold: int) -> Tiling:
    """The cheapest grid that covers a memory whose words stand `fold` side by side.

    A column of the grid stacks macros of one width until it is `words` deep; columns of any widths
    stand side by side until they are `bits` wide. Both are exact covers by dynamic programming.
    """
    words, bits = -(-memory_words // fold), memory_bits * fold
    rows = table()
    columns: list[tuple[int, float, tuple[MacroRow, ...]]] = []
    for width in sorted({row.bits for row in rows}):
        of_width = [row for row in rows if row.bits == width]
        cost, picked = _cover(words, [(r.words, r.area_um2) for r in of_width])
        columns.append((width, cost, tuple(of_width[i] for i in picked)))
    area, chosen = _cover(bits, [(width, cost) for width, cost, _ in columns])
    return Tiling(area, tuple(columns[index][2] for index in chosen), fold, memory_bits)


def _cover(length: int, pieces: Sequence[tuple[int, float]]) -> tuple[float, tuple[int, ...]]:
    """Cheapest multiset of (size, cost) pieces with sizes adding up to at least `length`."""
    unit = math.gcd(*(size for size, _ in pieces))
    steps = tuple((size // unit, cost) for size, cost in pieces)
    left = -(-length // unit)
    best = _cheapest(steps, 1 << left.bit_length())
    total = best[left][0]
    picked = []
    while left > 0:
        picked.append(best[left][1])
        left -= steps[best[left][1]][0]
    return total, tuple(sorted(picked))


@lru_cache(maxsize=128)
def _cheapest(steps: tuple[tuple[int, float], ...], stop: int) -> list[tuple[float, int]]:
    """(cost, last step taken) of the cheapest cover of each length below `stop`.

    Memories of many sizes are stacked of the same macros, so this is kept.
    """
    best = [(0.0, -1)]
    for n in range(1, stop):
        best.append(min((best[max(0, n - s)][0] + c, i) for i, (s, c) in enumerate(steps)))
    return best


def area_um2(model: str, words: int, bits: int) -> float:
    """Area of one memory of words x bits. Raises CosignError for an unknown model."""
    if model == "flat":
        return FLAT_UM2_PER_BIT * words * bits
    if model == "openram":
        tiling = tile(words, bits)
        return tiling.area_um2 + tiling.selection_um2
    raise CosignError(f"SRAM model {model!r} is not one of {', '.join(MODELS)}.")


def area_by_purpose(model: str, macros: Sequence[Macro]) -> dict[str, float]:
    """Area per purpose ("activation", "weight"), in square micrometres."""
    found: dict[str, float] = {}
    for macro in macros:
        area = macro.count * area_um2(model, macro.words, macro.bits)
        found[macro.purpose] = found.get(macro.purpose, 0.0) + area
    return found


def energy_per_access(macro: Macro) -> tuple[float, float]:
    """(pJ of a read, pJ of a write) of one of the `macro.count` memories."""
    tiling = tile(macro.words, macro.bits)
    return tiling.read_pj, tiling.write_pj


def provenance(model: str) -> dict[str, Any]:
    """Where a model's figures come from."""
    if model == "flat":
        return {
            "name": model,
            "source": f"{FLAT_UM2_PER_BIT} um2 per bit, optimistic bound",
            "energy": "that of the openram model",
        }
    text = resources.files("synth").joinpath("openram_freepdk45.csv").read_bytes()
    return {
        "name": model,
        "source": "OpenRAM FreePDK45 layouts, 1RW, TT, 1.0 V, tiled and folded; multiplexers, "
        "selects and enables of the tiling counted in NanGate 45 cells, write masks not",
        "macros": len(table()),
        "table_sha256": hashlib.sha256(text).hexdigest(),
        "interpolation_error": held_out_errors(),
        "energy": "OpenRAM's analytical power at its event frequency of 100 MHz, per access",
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
        f"    area : {tiling.area_um2 + tiling.selection_um2:.1f};",
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
