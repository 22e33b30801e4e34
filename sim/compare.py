"""Cycles of a network on several cores: four of equal size, or those of a CoreSet."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from compress.model.graph import Layer
from rtl.config import CoreConfig
from rtl.program.encode import Work, work
from rtl.program.fit import batch_of, feed, with_maps, with_streams
from rtl.program.pack import stripes_of
from rtl.program.traffic import traffic
from sim.cycles import run_cycles


def rivals(sparse: CoreConfig) -> dict[str, CoreConfig]:
    """The four cores, by name, as large as `sparse` is.

    Those with several filters have the most square shape, pixels x filters, that has as many
    multipliers. The number of requantisers is the same; of several filters it must divide the
    lanes, and is the next larger that does.
    """
    filters = next(n for n in range(math.isqrt(sparse.lanes), 0, -1) if sparse.lanes % n == 0)
    lanes = sparse.lanes // filters
    drain = sparse.drain
    if filters > 1:
        drain = next((n for n in range(drain, lanes) if lanes % n == 0), lanes)
    square = {"lanes": lanes, "filters": filters, "drain": drain}
    return {
        "dense-scalar": dataclasses.replace(sparse, core="dense-scalar"),
        "dense-2d": feed(sparse, core="dense-2d", **square),
        "sparse": sparse,
        "sparse-rows": feed(sparse, core="sparse-rows", **square),
    }


def compare(
    layers: Sequence[Layer],
    cores: dict[str, CoreConfig],
    batch: int,
    act_bytes: int,
    dense: str = "dense-scalar",
    sparse: str = "sparse",
    bytes_per_cycle: float | None = None,
) -> dict[str, Any]:
    """Cycles of each of `layers` by core, totals over all of them and over the convolutions.

    cores : by the names under which their cycles are told
    batch : images that are the pixels of a linear layer
    act_bytes : activation memory of a tile above which maps are computed in stripes

    dense, sparse : two of the names; speedup is that of the second over the first
    bytes_per_cycle : of the channel to the memory outside (`sim.channel`), None for no limit

    Memories are as large as the layers need.
    """

    def counted(cycles: dict[str, int]) -> dict[str, Any]:
        return {"cycles": cycles, "speedup": cycles[dense] / cycles[sparse]}

    def total(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
        """All rows together; None of none."""
        if not rows:
            return None
        counts = {key: sum(row[key] for row in rows) for key in ("weights", "nonzeros")}
        sums = {
            key: {name: sum(row[key][name] for row in rows) for name in cores}
            for key in ("cycles", "dram_bytes")
        }
        return counts | counted(sums["cycles"]) | {"dram_bytes": sums["dram_bytes"]}

    columns, moved, fitted = {}, {}, {}
    for name, core in cores.items():
        config = with_maps(core, [layer.geometry for layer in layers], batch, act_bytes)
        found = [_counted(layer, config, batch, bytes_per_cycle) for layer in layers]
        columns[name] = [each.cycles for each in found]
        moved[name] = [each.dram_bytes for each in found]
        fitted[name] = with_streams(config, [each.cost for each in found])
    rows = [
        {
            "name": layer.name,
            "kind": layer.geometry.kind,
            "weights": layer.geometry.weights,
            "nonzeros": layer.nnz,
            **counted({name: cycles[number] for name, cycles in columns.items()}),
            "dram_bytes": {name: several[number] for name, several in moved.items()},
        }
        for number, layer in enumerate(layers)
    ]
    return {
        "layers": rows,
        "total": total(rows),
        "conv": total([row for row in rows if row["kind"] == "conv"]),
        "batch": batch,
        "act_bytes": act_bytes,
        "bytes_per_cycle": bytes_per_cycle,
        "shapes": {name: f"{core.lanes}x{core.filters}" for name, core in fitted.items()},
        "cores": {name: core.to_json() for name, core in fitted.items()},
    }


class _Counted(NamedTuple):
    """Of one map or batch: cycles, bytes to and from the memory outside, what its weights cost."""

    cycles: int
    dram_bytes: int
    cost: Work


def _counted(
    layer: Layer, config: CoreConfig, batch: int, bytes_per_cycle: float | None
) -> _Counted:
    pixels = batch_of(layer.geometry, batch)
    stripes, layout = stripes_of(layer.geometry, pixels, config)
    runs = stripes // config.tiles
    cost = work(layer, layout, config)
    moved = sum(traffic(cost, layout, config).bytes_by_stream.values())
    cycles = run_cycles(cost, layout, config, bytes_per_cycle)
    return _Counted(runs * cycles, round(runs * moved), cost)
