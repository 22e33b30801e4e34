"""A layer on a core of each kind in Icarus Verilog, which knows X: none reaches a port.

Memories hold what the generated Verilog says, and nothing is filled at random.
"""

import dataclasses
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from malformed import is_right, run_of
from random_layers import obeying, random_layer

from compress.model.graph import Geometry
from rtl import verilog
from rtl.config import CORES as KINDS
from rtl.config import CoreConfig
from sim.build import without_initial_values
from sim.simulate import Run

SMALL = {"act_banks": 2, "act_depth": 24, "weight_depth": 40}
CORES = {
    "sparse": CoreConfig(lanes=3, index_bits=4, drain=2, act_buffers=2, **SMALL),
    "absolute": CoreConfig(lanes=2, coding="absolute", pipeline=0, **SMALL),
    "bitmask": CoreConfig(lanes=3, coding="bitmask", mask_bits=6, tap_depth=32, **SMALL),
    "sparse-dot": CoreConfig(lanes=3, streams=3, index_bits=4, **SMALL),
    "bitmask-dot": CoreConfig(
        lanes=3, streams=3, coding="bitmask", mask_bits=6, tap_depth=32, **SMALL
    ),
    "window": CoreConfig(
        lanes=3, streams=3, coding="window", window_span=3, beats=2, pipeline=2, **SMALL
    ),
    "dense-scalar": CoreConfig("dense-scalar", lanes=3, **SMALL),
    "dense-2d": CoreConfig("dense-2d", lanes=2, filters=3, drain=2, gate_zeros=1, **SMALL),
    "dense-packed": CoreConfig("dense-packed", lanes=2, filters=3, mask_bits=4, **SMALL),
    "sparse-rows": CoreConfig("sparse-rows", lanes=2, filters=2, window_span=2, **SMALL),
    "sparse-nm": CoreConfig("sparse-nm", lanes=2, filters=2, **SMALL | {"act_banks": 4}),
}
LAYER = Geometry("conv", 2, 4, 5, 5, (3, 3), (1, 1), (1, 1))

BENCH = """
module bench;
  reg clk = 0, rst = 1, start = 0;
  always #1 clk = !clk;
  integer age = 0;
{streams}
  wire busy, done, o_valid, o_last;
  wire [3:0] error;
  wire [{out_bits} - 1:0] o;
  cosign_core core (
{layer}
    .clk(clk), .rst(rst), .start(start), .busy(busy), .done(done), .error(error),
    .i_acts__valid(acts_valid), .i_acts__ready(acts_ready), .i_acts__payload(acts_word),
    .i_weights__valid(weights_valid), .i_weights__ready(weights_ready),
    .i_weights__payload(weights_word),
    .i_biases__valid(biases_valid), .i_biases__ready(biases_ready), .i_biases__payload(biases_word),
    .o__valid(o_valid), .o__ready(1'b1), .o__payload(o), .o_last(o_last)
  );
  always @(posedge clk) begin
    age <= age + 1;
    if (age == 8) rst <= 0;
    start <= age == 20;
    if (!rst) begin
      if (^{{busy, done, error, o_valid, acts_ready, weights_ready, biases_ready}} === 1'bx)
        $display("unknown control in cycle %0d", age);
      if (o_valid) $display("%h", o);
      if (o_valid && ^{{o, o_last}} === 1'bx) $display("unknown word in cycle %0d", age);
      if (done) begin
        $display("done %0d", error);
        $finish;
      end
      if (age == 4000) begin
        $display("no end");
        $finish;
      end
    end
  end
endmodule
"""
STREAM = """
  reg [{bits} - 1:0] {name} [0:{count} - 1];
  integer {name}_at = 0;
  initial $readmemh("{name}.hex", {name});
  wire {name}_ready;
  wire {name}_valid = !rst && {name}_at < {count};
  wire [{bits} - 1:0] {name}_word = {name}_valid ? {name}[{name}_at] : 0;
  always @(posedge clk) if ({name}_valid && {name}_ready) {name}_at <= {name}_at + 1;
"""


def bench(run: Run, config: CoreConfig, folder: Path) -> str:
    """The testbench of a run; writes its streams into `folder`."""
    acts = [int.from_bytes(row.tobytes(), "little") for row in run.acts]
    acts[-1] |= 1 << 8 * run.acts.shape[1]
    streams = {
        "acts": (8 * run.acts.shape[1] + 1, acts),
        "weights": (
            config.stream_bits,
            [int.from_bytes(word.tobytes(), "little") for word in run.weights],
        ),
        "biases": (config.bias_bits, run.biases.tolist()),
    }
    for name, (_, words) in streams.items():
        (folder / f"{name}.hex").write_text("".join(f"{word:x}\n" for word in words))
    return BENCH.format(
        streams="".join(
            STREAM.format(name=name, bits=bits, count=len(words))
            for name, (bits, words) in streams.items()
        ),
        layer="".join(f"    .layer__{name}({value}),\n" for name, value in run.descriptor.items()),
        out_bits=8 * config.drain * config.tiles,
    )


def simulate(texts: dict[str, str], run: Run, config: CoreConfig, folder: Path) -> list[str]:
    """The lines that the testbench says."""
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not installed: apt install iverilog")
    sources = verilog.write_texts(texts | {"bench.v": bench(run, config, folder)}, folder)
    for command in (
        ["iverilog", "-g2005", "-s", "bench", "-o", "bench.vvp", *(path.name for path in sources)],
        ["vvp", "-n", "bench.vvp"],
    ):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split("\n")[:-1]


def test_every_kind_of_core_is_here() -> None:
    assert {config.core for config in CORES.values()} == set(KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("name", CORES)
def test_a_layer_without_an_x(name: str, tmp_path: Path) -> None:
    without_x(LAYER, CORES[name], tmp_path)


@pytest.mark.slow
def test_lanes_behind_a_full_memory_have_no_x(tmp_path: Path) -> None:
    config = dataclasses.replace(CORES["sparse"], weight_depth=CORES["sparse"].act_bytes)
    without_x(Geometry("linear", config.act_bytes, 2), config, tmp_path)


def without_x(geometry: Geometry, config: CoreConfig, tmp_path: Path) -> None:
    """A layer of that shape runs to its end; no port is ever unknown, and the values are right."""
    layer = obeying(random_layer(geometry, 0.4), config)
    run = run_of(layer, config)
    *lines, end = simulate(verilog.generate(config), run, config, tmp_path)
    assert end == "done 0"
    assert not [line for line in lines if "unknown" in line]
    word = config.drain * config.tiles
    raw = b"".join(int(line, 16).to_bytes(word, "little") for line in lines)
    assert is_right(np.frombuffer(raw, np.int8), layer, config)


@pytest.mark.slow
def test_an_x_would_be_seen(tmp_path: Path) -> None:
    config = CORES["sparse"]
    texts = {n: without_initial_values(text) for n, text in verilog.generate(config).items()}
    run = run_of(random_layer(LAYER, 0.4), config)
    assert any("unknown" in line for line in simulate(texts, run, config, tmp_path))
