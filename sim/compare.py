"""Cycles of a network on several cores: four of equal size, or those of a CoreSet."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from compress.model.graph import Layer
from rtl.config import CoreConfig
from rtl.program.encode import Work, work
from rtl.program.fit import batch_of, feed, with_maps, with_streams
from rtl.program.pack import stripes_of
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
) -> dict[str, Any]:
    """Cycles of each of `layers` by core, totals over all of them and over the convolutions.

    cores : by the names under which their cycles are told
    batch : images that are the pixels of a linear layer
    act_bytes : activation memory of a tile above which maps are computed in stripes

    dense, sparse : two of the names; speedup is that of the second over the first

    Memories are as large as the layers need.
    """

    def counted(cycles: dict[str, int]) -> dict[str, Any]:
        return {"cycles": cycles, "speedup": cycles[dense] / cycles[sparse]}

    def total(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
        """All rows together; None of none."""
        if not rows:
            return None
        counts = {key: sum(row[key] for row in rows) for key in ("weights", "nonzeros")}
        return counts | counted({name: sum(row["cycles"][name] for row in rows) for name in cores})

    columns, fitted = {}, {}
    for name, core in cores.items():
        config = with_maps(core, [layer.geometry for layer in layers], batch, act_bytes)
        costs = [_cost(layer, config, batch) for layer in layers]
        columns[name] = [cycles for cycles, _ in costs]
        fitted[name] = with_streams(config, [cost for _, cost in costs])
    rows = [
        {
            "name": layer.name,
            "kind": layer.geometry.kind,
            "weights": layer.geometry.weights,
            "nonzeros": layer.nnz,
            **counted({name: cycles[number] for name, cycles in columns.items()}),
        }
        for number, layer in enumerate(layers)
    ]
    return {
        "layers": rows,
        "total": total(rows),
        "conv": total([row for row in rows if row["kind"] == "conv"]),
        "batch": batch,
        "act_bytes": act_bytes,
        "shapes": {name: f"{core.lanes}x{core.filters}" for name, core in fitted.items()},
        "cores": {name: core.to_json() for name, core in fitted.items()},
    }


def _cost(layer: Layer, config: CoreConfig, batch: int) -> tuple[int, Work]:
    """(cycles of one map or batch, what its weights cost)."""
    pixels = batch_of(layer.geometry, batch)
    stripes, layout = stripes_of(layer.geometry, pixels, config)
    cost = work(layer, layout, config)
    return stripes // config.tiles * run_cycles(cost, layout, config), cost
