"""The fastest core of a kind within an area, on a layer or on several that share a chip.

All candidates of flows.measure.space take part, thousands of them. Their cycles and memories are
exact, but counted for few: bounds (flows.measure.floors) tell which candidates are too slow or too
large to win. The fastest wins, of equally fast ones the smallest.
"""

import dataclasses
import functools
import heapq
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from cosign import CosignError
from flows.measure.floors import Alike, Floor, bounded, floor_of, turn_cycles
from flows.measure.space import BANK_BYTES, Space, banked
from flows.measure.workload import RandomMasks, one_lane
from rtl import sram as rtl_sram
from rtl.config import CoreConfig
from rtl.program.fit import DEEPEST, in_steps, with_maps
from synth import sram
from synth.breakeven import Stored, depths, with_weights
from synth.prices import Prices

_SOME = 64
"""Candidates that are looked at together."""
_FLOORS = 1024
"""Of a few portions: all that a network of many layers is asked for would take gigabytes."""


class Entry(NamedTuple):
    """A core in the race.

    Parameters
    ----------
    config : with memories for the layers
    area_um2 : with these memories
    fmax_hz, cycles : its clock, and clock cycles of an image through all layers: of a linear one
        its part of those of the batch
    measured : whether its logic was synthesised, not priced
    """

    config: CoreConfig
    area_um2: float
    fmax_hz: float
    cycles: float
    measured: bool

    @property
    def seconds(self) -> float:
        return self.cycles / self.fmax_hz


class Masks:
    """Masks of all layers of a chip, of one seed.

    Parameters
    ----------
    layers : masks of each
    bytes_per_cycle : of the memory outside, None for no limit
    """

    def __init__(self, layers: Sequence[RandomMasks], bytes_per_cycle: float | None = None) -> None:
        self.layers = tuple(layers)
        self.bytes_per_cycle = bytes_per_cycle
        self._floors = functools.lru_cache(maxsize=_FLOORS)(self._floors_of)
        self._turn = functools.cache(self._turn_of)
        self._filled = functools.cache(self._filled_of)

    def cycles(self, config: CoreConfig, portion: float) -> float:
        """Of an image through all layers, one after the other."""
        b = self.bytes_per_cycle
        return sum(layer.cycles(config, portion, b) / layer.batch for layer in self.layers)

    def stored(self, config: CoreConfig, portion: float) -> Stored:
        """What memories for the largest layer hold."""
        return _largest(layer.stored(config, portion) for layer in self.layers)

    def floors(self, stream: CoreConfig, portion: float) -> tuple[Floor, ...]:
        """Bounds of each layer on all cores that are `bounded` alike.

        stream : of one of them, as `one_lane` makes it
        """
        return self._floors(stream, portion)

    def _floors_of(self, stream: CoreConfig, portion: float) -> tuple[Floor, ...]:
        return tuple(
            floor_of(stream, layer.layout_on(stream), layer.nonzeros(portion))
            for layer in self.layers
        )

    def turn(self, stream: CoreConfig, portion: float) -> np.ndarray:
        """float64 [layers]: cycles of an image at least, of a turn of all passes, told closer.

        stream : as `one_lane` makes it
        """
        return self._turn(stream, portion)

    def _turn_of(self, stream: CoreConfig, portion: float) -> np.ndarray:
        several = [
            turn_cycles(stream, layer.layout_on(stream), layer.layer_for(stream, portion))
            / layer.batch
            for layer in self.layers
        ]
        return np.array(several)

    def filled(self, stream: CoreConfig, portion: float) -> np.ndarray:
        """float64 [layers]: the same with all fillers of the "window" coding, else 0.

        stream : as `one_lane` makes it
        """
        return self._filled(stream, portion)

    def _filled_of(self, stream: CoreConfig, portion: float) -> np.ndarray:
        if not stream.stepped:
            return np.zeros(len(self.layers))
        several = [layer.work(stream, portion).entries.sum() / layer.batch for layer in self.layers]
        return np.array(several)


class _Group(NamedTuple):
    """Candidates with the same bounds of cycles and of words.

    Parameters
    ----------
    members : int64, their numbers
    shifts : of each member
    streams : (one, its members) for each set of memories that a weight stream of theirs fills
    """

    members: np.ndarray
    shifts: Alike
    streams: list[tuple[CoreConfig, np.ndarray]]


class _Bounds(NamedTuple):
    """Of all candidates under some masks.

    Parameters
    ----------
    seconds : float64 [candidates], that each takes at least
    rising : int64 [candidates], their numbers as these rise
    stored : what each group stores at least
    """

    seconds: np.ndarray
    rising: np.ndarray
    stored: list[Stored]


def _groups_of(configs: Sequence[CoreConfig], streams: Sequence[CoreConfig]) -> list[_Group]:
    """streams : of each candidate, as `one_lane` makes it"""
    shifts = np.array([config.tile_shifts for config in configs])
    told: dict[CoreConfig, tuple[Any, Any]] = {}
    found: dict[Any, dict[Any, list[int]]] = {}
    for number, stream in enumerate(streams):
        if stream not in told:
            told[stream] = bounded(stream), tuple(rtl_sram.stream_macros(stream, 2, 2, 2))
        bounds, memories = told[stream]
        found.setdefault(bounds, {}).setdefault(memories, []).append(number)
    groups = []
    for several in found.values():
        alike = [(streams[members[0]], np.array(members)) for members in several.values()]
        members = np.concatenate([numbers for _, numbers in alike])
        groups.append(_Group(members, Alike.of(shifts[members]), alike))
    return groups


def _largest(several: Iterable[Stored]) -> Stored:
    first, *others = several
    return Stored(*map(max, first, *others)) if others else first


class Field:
    """All candidates of a kind with their activation memories, under one SRAM model.

    Parameters
    ----------
    configs : the candidates, whatever their memories and banks; those without a price are left out
    space : the layers
    prices : of logic
    sram_model : of synth.sram.MODELS
    banked : whether they have their banks
    bare : whether no bits of the weight buffers are for the places of weights: of cores that
        nobody has built
    """

    def __init__(
        self,
        configs: Sequence[CoreConfig],
        space: Space,
        prices: Prices,
        sram_model: str,
        banked: bool = False,
        bare: bool = False,
    ) -> None:
        self._space, self._prices, self._model = space, prices, sram_model
        self._bare = bare
        self._widths: dict[tuple[int, int, int, int], dict[str, int]] = {}
        self._maps = functools.cache(self._maps_like)
        known = configs if banked else map(self._banked, configs)
        priced = [(core, price) for core in known if (price := prices.find(core)) is not None]
        self.configs = [core for core, _ in priced]
        found = [price for _, price in priced]
        maps = [self._maps_of(config)[1] for config in self.configs]
        self._logic_um2 = np.array([price.logic_um2 for price in found])
        self._base_um2 = self._logic_um2 + maps
        self._fmax_hz = np.array([price.fmax_hz for price in found])
        self._measured = [price.measured and not bare for price in found]
        self._multipliers = np.array([config.multipliers for config in self.configs])
        lanes = np.array([config.lanes for config in self.configs])
        self._turns = -(-self._positions() // lanes)  # [layers, candidates]
        self._streams = [one_lane(config) for config in self.configs]
        self._groups = _groups_of(self.configs, self._streams)
        widths = [(core.packed_bits, core.mask_word_bits) for core in self._streams]
        self._word_bits = np.array(widths).reshape(-1, 2).T
        self._alike = all(c.dense and not c.packed for c in self.configs)
        self._bounds = functools.cache(self._bounds_of)
        self._areas = functools.cache(self._areas_of)
        self._stored_um2 = functools.cache(self._stored_um2_of)
        self._entry = functools.cache(self._entry_of)
        self._last: int | None = None  # candidate that `any_within` found

    def _positions(self) -> np.ndarray:
        """int64 [layers, candidates]: those that one of a candidate's tiles computes."""
        known: dict[tuple[int, int], list[int]] = {}
        of = [(config.tiles, config.element) for config in self.configs]
        for tiles, element in dict.fromkeys(of):
            layouts = self._space.layouts(tiles, element)
            known[tiles, element] = [layout.positions for layout in layouts]
        return np.array([known[key] for key in of]).reshape(-1, len(self._space.geometries)).T

    def _banked(self, config: CoreConfig) -> CoreConfig:
        """With the width of activation banks that takes the least area: it depends on the bytes of
        a read alone."""
        key = config.read_bytes, config.tiles, config.element_bytes, config.streams
        if key not in self._widths:
            cores = [banked(config, width) for width in BANK_BYTES]
            found = [self._prices.find(core) for core in cores]
            areas = [
                price.logic_um2 + self._maps_of(core)[1]
                for core, price in zip(cores, found, strict=True)
                if price is not None
            ]
            if len(areas) < len(cores):
                return config
            best = cores[areas.index(min(areas))]
            self._widths[key] = {"bank_bytes": best.bank_bytes, "act_banks": best.act_banks}
        return config.resized(**self._widths[key])

    def _maps_of(self, config: CoreConfig) -> tuple[int, float]:
        """(act_depth, area) of its activation memories: neither lanes nor filters matter."""
        memories = config.tiles, config.act_banks, config.bank_bytes, config.element_bytes
        return self._maps(*memories, config.streams)

    def _maps_like(
        self, tiles: int, banks: int, bank_bytes: int, element: int, streams: int
    ) -> tuple[int, float]:
        fields: dict[str, Any] = {"tiles": tiles, "act_banks": banks, "bank_bytes": bank_bytes}
        fields |= {"streams": streams, "act_bits": self._space.act_bits}
        if element > 1:
            fields |= {"core": "sparse-nm", "nm_group": element}
        core = dataclasses.replace(CoreConfig(lanes=1), **fields)
        core = with_maps(core, self._space.geometries, self._space.batch)
        activation = [m for m in rtl_sram.macros(core) if m.purpose == "activation"]
        return core.act_depth, sum(sram.area_by_purpose(self._model, activation).values())

    def fastest(
        self,
        weights: str,
        limit_um2: float,
        masks: Masks,
        portion: float,
        below_s: float = math.inf,
    ) -> Entry | None:
        """The fastest candidate of at most `limit_um2` that takes less than `below_s`, or None."""
        number = self._fastest(weights, limit_um2, masks, portion, below_s)
        return None if number is None else self._entry(number, weights, masks, self._seen(portion))

    def any_within(
        self, weights: str, seconds: float, limit_um2: float, masks: Masks, portion: float
    ) -> bool:
        """Whether a candidate of at most `limit_um2` takes no longer."""
        if self._last is not None:
            # What was fast enough under other masks often is under these: no search, no bounds.
            last = self._entry(self._last, weights, masks, self._seen(portion))
            if last is not None and last.area_um2 <= limit_um2 and last.seconds <= seconds:
                return True
        below = math.nextafter(seconds, math.inf)
        found = self._fastest(weights, limit_um2, masks, portion, below, seconds)
        if found is not None:
            self._last = found
        return found is not None

    def _fastest(
        self,
        weights: str,
        limit_um2: float,
        masks: Masks,
        portion: float,
        below_s: float,
        enough_s: float = 0.0,
    ) -> int | None:
        """The number of the fastest candidate.

        enough_s : any candidate that takes no longer will do
        """
        portion = self._seen(portion)
        seconds, rising, _ = self._bounds(masks, portion)
        areas = self._areas(weights, masks, portion)
        # The best bound comes first: what is popped with its closest bound is worth counting.
        rising = rising[: np.searchsorted(seconds, below_s, sorter=rising)]
        rising = rising[areas[rising] <= limit_um2]
        heap: list[tuple[float, float, int, int]] = []
        closer = masks.turn, masks.filled
        best: tuple[float, float, int] | None = None
        while len(rising) or heap:
            if len(rising) and (not heap or heap[0][0] >= seconds[rising[0]]):
                for number in rising[:_SOME].tolist():
                    heapq.heappush(heap, (float(seconds[number]), float(areas[number]), number, 0))
                rising = rising[_SOME:]
                continue
            least, area, number, told = heapq.heappop(heap)
            if best is not None and (least, area) >= best[:2]:
                break
            if told < len(closer):
                turn = closer[told](self._streams[number], portion)
                closer_s = max(least, self._seconds(number, turn))
                if closer_s < below_s:
                    heapq.heappush(heap, (closer_s, area, number, told + 1))
                continue
            entry = self._entry(number, weights, masks, portion)
            if entry is None or entry.area_um2 > limit_um2 or entry.seconds >= below_s:
                continue
            if best is None or (entry.seconds, entry.area_um2) < best[:2]:
                best = entry.seconds, entry.area_um2, number
            if best[0] <= enough_s:
                break
        return None if best is None else best[2]

    def best_value(self, weights: str, masks: Masks, portion: float, most: int) -> Entry | None:
        """The least area times time of the candidates with at most `most` multipliers."""
        product = self._bounds(masks, portion).seconds * self._areas(weights, masks, portion)
        product[self._multipliers > most] = math.inf
        for number in np.argsort(product, kind="stable"):
            if product[number] == math.inf:
                return None
            if (entry := self._entry(int(number), weights, masks, portion)) is not None:
                return entry
        return None

    def smallest(self, weights: str, masks: Masks, portion: float) -> Entry | None:
        """The candidate of the least area; None where no memories are deep enough."""
        areas = self._areas(weights, masks, portion)
        best: Entry | None = None
        for number in np.argsort(areas, kind="stable"):
            if areas[number] >= (math.inf if best is None else best.area_um2):
                break
            entry = self._entry(int(number), weights, masks, portion)
            if entry is not None and (best is None or entry.area_um2 < best.area_um2):
                best = entry
        return best

    def _seconds(self, number: int, turn: np.ndarray) -> float:
        """That a candidate takes at least, when all passes of a layer take so long for a turn,
        float64 [layers] cycles of an image."""
        return float(self._turns[:, number] @ turn / self._fmax_hz[number])

    def _seen(self, portion: float) -> float:
        """The portion that the candidates see: zeros are weights to a dense core."""
        return 0.0 if self._alike else portion

    def _entry_of(self, number: int, weights: str, masks: Masks, portion: float) -> Entry | None:
        """A candidate with its exact figures; None where a memory would be too deep."""
        config = self.configs[number]
        depth, maps_um2 = self._maps_of(config)
        stored = masks.stored(config, portion)
        fields: dict[str, Any] = {"act_depth": depth}
        if config.table:
            fields["tap_depth"] = in_steps(stored.table)
        try:
            config = dataclasses.replace(config, **fields)
            config = with_weights(config, stored, weights)
        except CosignError:
            return None
        depths = config.weight_depth, config.mask_depth, config.tap_depth
        streams_um2 = self._streams_um2(config, *depths)
        area = float(self._logic_um2[number]) + maps_um2 + streams_um2
        cycles = masks.cycles(config, portion)
        return Entry(config, area, float(self._fmax_hz[number]), cycles, self._measured[number])

    def _bounds_of(self, masks: Masks, portion: float) -> _Bounds:
        cycles = np.zeros(len(self.configs))
        stored = []
        for group in self._groups:
            members = group.members
            floors = masks.floors(group.streams[0][0], portion)
            for number, (layer, floor) in enumerate(zip(masks.layers, floors, strict=True)):
                least = floor.cycles(self._turns[number, members], group.shifts)
                if (b := masks.bytes_per_cycle) is not None:
                    least = floor.within(least, self._word_bits[:, members], b)
                cycles[members] += least / layer.batch
            stored.append(_largest(floor.stored for floor in floors))
        seconds = cycles / self._fmax_hz
        return _Bounds(seconds, np.argsort(seconds), stored)

    def _areas_of(self, weights: str, masks: Masks, portion: float) -> np.ndarray:
        """float64 [candidates]: area at least."""
        areas = self._base_um2.copy()
        for group, stored in zip(self._groups, self._bounds(masks, portion).stored, strict=True):
            words = depths(stored, weights)
            for stream, members in group.streams:
                areas[members] += self._stored_um2(stream, *words)
        return areas

    def _stored_um2_of(self, stream: CoreConfig, words: int, masks: int) -> float:
        """Area of the memories of a weight stream; inf where one would be too deep."""
        if max(words, masks) > DEEPEST:
            return math.inf
        return self._streams_um2(stream, words, masks, 2)

    def _streams_um2(self, config: CoreConfig, words: int, masks: int, taps: int) -> float:
        """Area of the memories of the weight stream, of these depths."""
        macros = rtl_sram.stream_macros(config, words, masks, taps)
        if self._bare:
            bits = config.streams * config.place_bits
            macros = [dataclasses.replace(macro, bits=macro.bits - bits) for macro in macros]
        return sum(sram.area_by_purpose(self._model, macros).values())
