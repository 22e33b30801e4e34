"""What it costs to choose ratios for ResNet-50 without training, and what the choice is worth.

Curves of all layers are measured on PHOTOS once; then for budgets of speedup the cheapest plan is
found, with cycles counted on cores whose areas and clocks are assumed (logic of 1 mm2 each, 1 GHz):
the time of a choice does not depend on them. Beside each choice stands what uniform ratios of the
same time are expected to lose. Prints figures; --json writes them.

    python benchmarks/allocation.py PHOTOS --curves build/curves.json
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from compress.data.pixels import normalised
from compress.exchange import state_dicts
from compress.posttrain import curves, pipeline
from compress.posttrain.expected import OFFERED, Curves
from compress.posttrain.samples import collect
from compress.zoo.networks import spec_of
from cosign import atomic_write, read_json, values, write_json
from flows.measure import options
from flows.measure.machines import CoreReports
from flows.measure.plan import Plan, Planner
from rtl.config import CoreConfig
from rtl.coreset import CoreSet
from rtl.sram import macros
from synth.report import CoreReport
from synth.sram import MODELS, area_by_purpose

NETWORK = "resnet50-v1"
_BATCH = 16
_BITS = 8
_SPEEDUPS = (1.5, 2.0, 3.0, 4.0)


def assumed(cores: CoreSet) -> CoreReports:
    """Cores of 1 mm2 of logic at 1 GHz; the dense one has as much more as lets every other fit."""

    def made(core: CoreConfig) -> CoreReport:
        areas = {model: area_by_purpose(model, macros(core)) for model in MODELS}
        logic = 1e9 if core == cores.dense else 1e6
        return CoreReport(core, logic, areas, 1e9, 0.0, "", {}, 0, {}, 0.0, {"all": logic})

    return CoreReports.of(cores, map(made, CoreReports.needed(cores)))


def measured(photos: Path, file: Path | None) -> tuple[Curves, dict[str, float]]:
    """The curves, of `file` where it is there, and what measuring them took."""
    if file is not None and file.exists():
        return values.parse(read_json(file), Curves, str(file), "delete it"), {}
    network, source = pipeline.load(NETWORK, state_dicts.fetch(NETWORK, _say))
    pixels = collect(network.spec.shape, photos, 0, curves.IMAGES).calibration
    held = np.arange(len(pixels)) % curves.HELD == 0
    batches, others = (
        list(normalised(source, some).split(_BATCH)) for some in (pixels[~held], pixels[held])
    )
    wall, processor = time.perf_counter(), time.process_time()
    found = curves.measure(
        network,
        dict.fromkeys(network.spec.geometries, _BITS),
        batches,
        others,
        lambda done, of: _say(f"curve {done} of {of}"),
    )
    took = {
        "wall_s": time.perf_counter() - wall,
        "processor_s": time.process_time() - processor,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }
    if file is not None:
        with atomic_write(file) as stream:
            stream.write(msgspec.json.encode(found))
    return found, took


def uniform(planner: Planner, seconds: float) -> Plan:
    """The same portion of every layer, the least within the time."""
    layers = planner.curves.layers
    low, high = 0, len(OFFERED) - 1
    while low < high:
        place = (low + high) // 2
        plan = planner.of({name: int(curve.keep[place]) for name, curve in layers.items()})
        if plan.time_s is not None and plan.time_s <= seconds:
            high = place
        else:
            low = place + 1
    return planner.of({name: int(curve.keep[low]) for name, curve in layers.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="a folder of photographs")
    parser.add_argument("--curves", type=Path, metavar="FILE", help="kept here, and read again")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found, took = measured(asked.photos, asked.curves)
    geometries = spec_of(NETWORK).geometries
    reports = assumed(CoreSet())
    start = time.process_time()
    cycles = options.measure(geometries, reports, 1, 0, lambda done, of: None)
    counting = time.process_time() - start
    break_even: dict[str, float | None] = dict.fromkeys(geometries, 1.0)
    planner = Planner(found, geometries, cycles, break_even, reports, 1, 0)
    rows: list[dict[str, Any]] = []
    for speedup in _SPEEDUPS:
        start = time.process_time()
        plan = planner.within_time(planner.dense_s / speedup)
        seconds = time.process_time() - start
        same = uniform(planner, planner.dense_s / speedup)
        assert plan.time_s is not None
        ratios = [curve.weights / plan.keep[name] for name, curve in found.layers.items()]
        rows.append(
            {
                "speedup_asked": speedup,
                "speedup": planner.dense_s / plan.time_s,
                "processor_s": seconds,
                "expected_loss": plan.loss,
                "expected_loss_uniform": same.loss,
                "ratio": planner.weights / sum(plan.keep.values()),
                "ratios_least_median_most": [float(x) for x in np.quantile(ratios, (0, 0.5, 1))],
            }
        )
        _say(f"{speedup:g}x: chosen in {seconds:.1f} s")
    result = {"curves": took, "cycles_processor_s": counting, "plans": rows}
    if asked.json:
        write_json(asked.json, result)
    print(json.dumps(result, indent=2))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
