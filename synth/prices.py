"""A price list: what cores cost that nobody has synthesised, from those of a grid that were.

Logic adds up from parts (synth.parts). What one of a part takes is fitted to the blocks of the
list's netlists, block by block: least squares of each core's error as a share of its logic, no part
below zero. The clock period is fitted in the same way to the logarithm of the multipliers, since
broadcasts grow with it. Memories are not fitted: synth.sram has their area.

A core that is in the list costs what its netlist does, not what the fit says of it.

Some cores of a list are placed as well. How much wires add is no matter of parts, and small beside
them: each block grows by one share, fitted to the placed cores, whose clocks tell the period. Where
a core that was not placed has a netlist, it is the blocks of that which grow.
"""

import dataclasses
import functools
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import structs
from scipy.optimize import nnls

from cosign import CosignError, atomic_write, json_text, values
from cosign.values import Amount, Positive, Value
from rtl.config import CoreConfig
from synth.blocks import BLOCKS
from synth.parts import parts
from synth.place.options import Placed
from synth.report import CoreReport

SCHEMA = 1
ACT_BYTES = 160 * 1024
"""Activation memory of a priced core: as in the default cores, of AlexNet's size."""
_MEMORIES = ("weight_depth", "mask_depth", "tap_depth")
_ALIKE = (
    *("weight_bits", "act_bits", "acc_bits", "act_buffers", "mul_bits", "pipeline", "clock_ns"),
    *("gate_zeros", "rest_sums"),
)
"""Fields of which a list knows one value."""
_alike = operator.attrgetter(*_ALIKE)


class PlacedLogic(Value, frozen=True, kw_only=True):
    """The logic of a placed core, with what its wires took.

    Parameters
    ----------
    logic_um2 : area without memories
    fmax_hz : clock with these wires
    blocks_um2 : `logic_um2` by block
    """

    logic_um2: Positive
    fmax_hz: Positive
    blocks_um2: dict[str, Amount]


class PricedCore(Value, frozen=True, kw_only=True):
    """A core of the grid, as it was synthesised.

    Parameters
    ----------
    config : fields of CoreConfig; one that is not there has its default
    logic_um2 : area without memories
    fmax_hz : clock of that netlist, sized for the config's clock target
    blocks_um2 : `logic_um2` by block
    placed : the same of the placed core; null where it was not placed
    """

    config: dict[str, int | float | str]
    logic_um2: Positive
    fmax_hz: Positive
    blocks_um2: dict[str, Amount]
    placed: PlacedLogic | None = None

    @property
    def core(self) -> CoreConfig:
        """Raises CosignError where the fields make none."""
        fields: dict[str, Any] = dict(self.config)
        if strange := fields.keys() - {field.name for field in dataclasses.fields(CoreConfig)}:
            raise CosignError(f"a price list: {min(strange)} is no field of a core.")
        return CoreConfig(**fields)

    @classmethod
    def of(cls, report: CoreReport) -> "PricedCore":
        placed = None if report.placed is None else PlacedLogic(**_logic_of(report.placed))
        return cls(config=values.plain(report.config), placed=placed, **_logic_of(report))


def _logic_of(netlist: CoreReport | Placed) -> dict[str, Any]:
    blocks = {block: round(area, 3) for block, area in netlist.blocks_um2.items()}
    return {"logic_um2": netlist.logic_um2, "fmax_hz": netlist.fmax_hz, "blocks_um2": blocks}


class PriceList(Value, frozen=True, kw_only=True):
    """Synthesised cores, and what synthesised them.

    Parameters
    ----------
    cores : each once
    provenance : tools, cell library, recipe, SRAM models
    """

    cores: tuple[PricedCore, ...]
    provenance: dict[str, Any]

    @classmethod
    def read(cls, path: Path | None = None) -> "PriceList":
        """That of a file, or the built-in one for NanGate 45. Raises CosignError."""
        if path is None:
            with resources.as_file(resources.files("synth") / "prices_nangate45.json") as built_in:
                return cls.read(built_in)
        return values.read(path, cls, (SCHEMA,), "write it again with `python -m synth prices`")

    def write(self, path: Path) -> None:
        """The file, a core a line."""
        head = json_text(values.stamped(structs.replace(self, cores=()), SCHEMA))
        lines = ",\n".join(f"    {msgspec.json.encode(core).decode()}" for core in self.cores)
        with atomic_write(path) as file:
            file.write(head.replace('"cores": []', f'"cores": [\n{lines}\n  ]').encode() + b"\n")


def standard(config: CoreConfig) -> CoreConfig:
    """`config` with the memories of a priced core. Logic sees only an address's width of them."""
    depths = {name: getattr(CoreConfig, name) for name in _MEMORIES}
    act_depth = max(2, -(-ACT_BYTES // config.act_word_bytes))
    return config.resized(**depths, act_depth=act_depth)


class Price(NamedTuple):
    """What a core's logic takes.

    Parameters
    ----------
    logic_um2 : area without memories
    fmax_hz : its clock
    measured : of its own netlist, placed where that is asked for, else by the fit
    """

    logic_um2: float
    fmax_hz: float
    measured: bool


class Errors(NamedTuple):
    """How far the fit is off for cores that it has not seen, as a share of their logic or clock."""

    mean: float
    worst: float
    worst_core: str
    clock_mean: float
    clock_worst: float


class Prices:
    """Prices of any core that differs from those of `cores` in size and shape only.

    cores : of a list
    placed : prices of placed cores

    Raises CosignError when there are no cores, or they are not alike where a list's must be, or
    none of them is placed where that is asked for.
    """

    def __init__(self, cores: Iterable[PricedCore], placed: bool = False) -> None:
        self._cores = {core.core: core for core in cores}
        if not self._cores:
            raise CosignError("a price list needs at least one synthesised core.")
        self._alike = {_alike(config) for config in self._cores}
        if len(self._alike) > 1:
            raise CosignError(f"the cores of a price list must have the same {', '.join(_ALIKE)}.")
        self.act_bits = next(iter(self._cores)).act_bits
        self.kinds = frozenset(config.core for config in self._cores)
        self.placed = placed
        self._mapped: Mapping[CoreConfig, PricedCore] = self._cores
        self._measured = self._logic(self._cores)
        if not self._measured:
            raise CosignError(
                "the price list has no placed cores; write one by `python -m synth prices --place`."
            )
        self._fit = _fitted(self._cores, placed)
        self._found: dict[CoreConfig, Price | None] = {}

    def _logic(
        self, cores: Mapping[CoreConfig, PricedCore]
    ) -> Mapping[CoreConfig, PricedCore | PlacedLogic]:
        """What is known of them by a netlist, of that kind which is asked for."""
        return _placed_of(cores) if self.placed else cores

    @property
    def size(self) -> int:
        """Netlists that are known."""
        return len(self._measured)

    def with_measured(self, reports: Iterable[CoreReport]) -> "Prices":
        """The same fit, with the netlists of `reports` as what these cores cost."""
        found = object.__new__(Prices)
        found.__dict__.update(self.__dict__)
        found._found = {}
        made = {report.config: PricedCore.of(report) for report in reports}
        found._mapped = {**self._mapped, **made}
        found._measured = self._logic(found._mapped)
        return found

    def mapped(self, config: CoreConfig) -> bool:
        """Whether there is a netlist of `config`, whatever its memories, placed or not."""
        return standard(config) in self._mapped

    def measured(self, config: CoreConfig) -> bool:
        """Whether it is of a kind that is asked for."""
        return standard(config) in self._measured

    def of(self, config: CoreConfig) -> Price:
        """What `config` costs, whatever its memories. Raises CosignError on what no fit knows."""
        if (found := self.find(config)) is not None:
            return found
        core = standard(config)
        if _alike(core) not in self._alike:
            raise CosignError(
                f"the price list knows no core with the {', '.join(_ALIKE)} of {core.name}."
            )
        if core.core not in self.kinds:
            raise CosignError(f"the price list has no {core.core} core.")
        raise CosignError(f"the price list has no core with all that {core.name} is made of.")

    def find(self, config: CoreConfig) -> Price | None:
        """The same; None where no fit knows it."""
        if config not in self._found:
            self._found[config] = self._price(standard(config))
        return self._found[config]

    def _price(self, core: CoreConfig) -> Price | None:
        if (known := self._measured.get(core)) is not None:
            return Price(known.logic_um2, known.fmax_hz, True)
        if _alike(core) not in self._alike or core.core not in self.kinds:
            return None
        known = self._mapped.get(core)
        area = self._fit.area_um2(core) if known is None else self._fit.grown_um2(known.blocks_um2)
        if area is None:
            return None
        return Price(area, 1e9 / self._fit.period_ns(core), False)

    @functools.cached_property
    def held_out(self) -> Errors:
        """Each core priced by a fit to all the others."""
        areas, clocks = [], []
        for config, core in self._logic(self._cores).items():
            others = {c: other for c, other in self._cores.items() if c != config}
            if config.core not in {other.core for other in others} or not self._logic(others):
                continue
            fitted = _fitted(others, self.placed)
            if (area := fitted.area_um2(config)) is not None:
                error = abs(area / core.logic_um2 - 1)
                areas.append((error, config.name))
                clocks.append(abs(1e9 / fitted.period_ns(config) / core.fmax_hz - 1))
        if not areas:
            raise CosignError("a price list needs at least two cores of a kind.")
        worst, name = max(areas)
        mean = sum(error for error, _ in areas) / len(areas)
        return Errors(mean, worst, name, sum(clocks) / len(clocks), max(clocks))


class _Fit(NamedTuple):
    """What one of each part takes mapped, by block and name; by what share a block grows; and the
    clock: its period over 1 and the logarithm of the multipliers."""

    um2: dict[str, dict[str, float]]
    growth: dict[str, float]
    period: tuple[float, float]

    def area_um2(self, config: CoreConfig) -> float | None:
        """None where it has a part that is not in the list."""
        blocks = {}
        for block, of_block in parts(config).items():  # of tens of thousands of candidates
            known, area = self.um2.get(block, {}), 0.0
            for name, count in of_block.items():
                if count:
                    if (um2 := known.get(name)) is None:
                        return None
                    area += count * um2
            blocks[block] = area
        return self.grown_um2(blocks)

    def grown_um2(self, blocks_um2: Mapping[str, float]) -> float:
        """Of a core whose blocks take so much mapped."""
        return sum(area * self.growth.get(block, 1.0) for block, area in blocks_um2.items())

    def period_ns(self, config: CoreConfig) -> float:
        constant, growth = self.period
        return constant + growth * math.log2(config.multipliers)


def _placed_of(cores: Mapping[CoreConfig, PricedCore]) -> dict[CoreConfig, PlacedLogic]:
    return {config: core.placed for config, core in cores.items() if core.placed is not None}


def _fitted(cores: Mapping[CoreConfig, PricedCore], placed: bool) -> _Fit:
    """placed : what they are where they are placed; some of them have to be"""
    um2 = _parts_um2(cores)
    if not placed:
        return _Fit(um2, {}, _period(cores))
    known = _placed_of(cores)
    pairs = [(cores[config], after) for config, after in known.items()]
    return _Fit(um2, {block: _growth(block, pairs) for block in BLOCKS}, _period(known))


def _parts_um2(cores: Mapping[CoreConfig, PricedCore]) -> dict[str, dict[str, float]]:
    counts = [parts(config) for config in cores]
    shares = np.array([1 / core.logic_um2 for core in cores.values()])
    fitted: dict[str, dict[str, float]] = {}
    for block in BLOCKS:
        names = sorted(
            {name for found in counts for name, count in found.get(block, {}).items() if count}
        )
        if not names:
            continue
        rows = np.array([[c.get(block, {}).get(name, 0) for name in names] for c in counts])
        areas = np.array([core.blocks_um2.get(block, 0.0) for core in cores.values()])
        found, _ = nnls(rows * shares[:, None], areas * shares)
        fitted[block] = dict(zip(names, found.tolist(), strict=True))
    return fitted


def _growth(block: str, cores: Sequence[tuple[PricedCore, PlacedLogic]]) -> float:
    """Area of a block placed over mapped: least squares of each core's error as a share of its
    logic; 1 where none of them has the block."""
    before, after = (
        np.array([some.blocks_um2.get(block, 0.0) / core.logic_um2 for core, some in pairs])
        for pairs in ([(core, core) for core, _ in cores], cores)
    )
    whole = float(before @ before)
    return float(before @ after) / whole if whole else 1.0


def _period(cores: Mapping[CoreConfig, PricedCore | PlacedLogic]) -> tuple[float, float]:
    sizes = np.array([[1.0, math.log2(config.multipliers)] for config in cores])
    found, _ = nnls(sizes, np.array([1e9 / core.fmax_hz for core in cores.values()]))
    constant, growth = found.tolist()
    return constant, growth
