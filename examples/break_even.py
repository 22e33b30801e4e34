"""From which pruning ratio does a small sparse core beat a dense one of the same area?

    python examples/break_even.py

Synthesises four cores of up to 16 multipliers with Yosys and OpenSTA: some minutes.
"""

from pathlib import Path

from compress.zoo.networks import spec_of
from flows.measure.workload import RandomMasks
from rtl.config import CoreConfig
from rtl.program.fit import feed, fit
from synth import Workload, measure, synthesize_many


def main() -> None:
    masks = RandomMasks(spec_of("lenet5").geometries["conv2"], batch=1, seed=0)
    cores = [feed(CoreConfig("dense-2d"), lanes=8, filters=2)]
    cores += [feed(CoreConfig("sparse"), lanes=lanes) for lanes in (6, 10, 14)]
    fitted = [fit(core, [masks.layer(0.0)]) for core in cores]
    dense, *sparse = synthesize_many(fitted, Path("build/examples"))
    work = Workload("lenet5", "conv2", masks.cycles, masks.stored)
    curve = measure(work, dense, sparse, "openram", "streamed")
    for point in curve.points:
        if point.lanes:  # else no sparse core is as small as the dense one
            print(f"{point.portion:6.1%} pruned: {point.lanes} lanes, {point.speedup:5.2f}x")
    print(f"break-even: {curve.break_even_ratio:.2f}x ({curve.note})")


if __name__ == "__main__":
    main()
