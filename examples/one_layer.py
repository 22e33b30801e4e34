"""Generate a sparse core, execute one layer on its Verilog, and compare with the golden model.

python examples/one_layer.py
"""

import numpy as np

from compress.model.graph import Geometry, Layer
from rtl import verilog
from rtl.config import CoreConfig
from rtl.program.fit import fit
from sim.cycles import layer_cycles
from sim.golden import layer_output
from sim.run import run_layer


def main() -> None:
    rng = np.random.default_rng(0)
    geometry = Geometry("conv", 8, 16, 14, 14, kernel=(3, 3), padding=(1, 1))
    levels = rng.integers(1, 8, (16, geometry.columns)) * rng.choice([-1, 1], (16, 72))
    levels[rng.random(levels.shape) > 0.2] = 0  # a fifth of the weights stays
    layer = Layer.from_dense(
        levels.astype(np.int8),
        name="mine",
        input="input",
        geometry=geometry,
        bits=4,
        q=0.1,
        bias=rng.integers(-500, 500, 16),
        mul=rng.integers(15_000, 25_000, 16),
        shift=np.full(16, 20),
        relu=True,
        in_scale=1.0,
        out_scale=1.0,
    )
    inputs = rng.integers(-128, 128, (1, 8, 14, 14), np.int8)

    for core in ("sparse", "dense-scalar"):
        config = fit(CoreConfig(core, lanes=8), [layer])
        (top, text), *_ = verilog.generate(config).items()
        ran = run_layer(layer, inputs, config)
        assert np.array_equal(ran.outputs, layer_output(layer, inputs))
        assert ran.cycles == layer_cycles(layer, config)
        print(f"{core}: {ran.cycles:,} cycles, {ran.outputs.size:,} values agree; {top} has "
              f"{text.count(chr(10)):,} lines")  # fmt: skip


if __name__ == "__main__":
    main()
