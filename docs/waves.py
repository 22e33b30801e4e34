"""Draw the timing diagrams of the machine from a real wave: python docs/waves.py

A small sparse core executes a layer on the generated Verilog; what Verilator recorded becomes
docs/waves/*.svg. Needs `pip install 'cosign[docs]'`.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pylibfst
import wavedrom

from compress.model.graph import Geometry, Layer
from rtl.config import CoreConfig
from sim.run import run_layer

FOLDER = Path(__file__).parent / "waves"
CONFIG = CoreConfig(lanes=4, act_banks=2, act_depth=64, weight_depth=32, index_bits=4, drain=2)
GEOMETRY = Geometry("conv", 2, 2, 2, 3, (3, 3), (1, 1), (1, 1))


@dataclass(frozen=True)
class Row:
    """A line of a diagram: a signal of the core, its label, and how its value is shown.

    `bits` is the field (low, width) that is shown; `when` a signal of one bit without which the
    value means nothing; `signed` reads two's complement.
    """

    label: str
    signal: str
    bits: tuple[int, int] | None = None
    when: str | None = None
    signed: bool = False


LAYER = (
    Row("start", "start"),
    Row("i_acts.valid", "i_acts__valid"),
    Row("i_weights.valid", "i_weights__valid"),
    Row("i_weights.ready", "i_weights__ready"),
    Row("i_biases.valid", "i_biases__valid"),
    Row("busy", "busy"),
    Row("an entry is issued", "front.issue"),
    Row("o.valid", "output.o__valid"),
    Row("o_last", "output.o_last"),
    Row("done", "done"),
)

ENTRIES = (
    Row("an entry is issued", "front.issue"),
    Row("first tile of a filter", "front.sequencer.tile_first", when="front.issue"),
    Row("last tile of a filter", "front.sequencer.tile_last", when="front.issue"),
    Row("weight SRAM: place", "front.buffer.word", bits=(CONFIG.weight_bits, CONFIG.index_bits)),
    Row("address", "front.address"),
    Row("lane 0: activation", "lane_0.act", signed=True),
    Row("lane 0: weight", "lane_0.weight", signed=True),
    Row("lane 0: product", "lane_0.product_0", signed=True),
    Row("lane 0: accumulator", "lane_0.acc", signed=True),
    Row("accumulator to shadow", "lane_0.snap"),
    Row("lane 0: shadow", "lane_0.shadow", signed=True),
    Row("drain commands", "drain.take"),
    Row("o.valid", "output.o__valid"),
    Row("o.payload[7:0]", "output.o__payload", bits=(0, 8), when="output.o__valid", signed=True),
)


def layer() -> Layer:
    """Two filters of four and three weights, whose outputs are neither zero nor saturated."""
    levels = np.zeros((2, GEOMETRY.columns), np.int8)
    levels[0, [0, 4, 9, 13]] = 3, -2, 1, 4
    levels[1, [3, 4, 14]] = -1, 5, 2
    return Layer.from_dense(
        levels,
        name="small",
        input="input",
        geometry=GEOMETRY,
        bits=4,
        q=0.1,
        bias=np.array([20, -10]),
        mul=1 << 14,
        shift=17,
        relu=True,
        in_scale=1.0,
        out_scale=1.0,
    )


def values(wave: Path) -> dict[str, list[int]]:
    """Every named signal of the core, sampled before each rising edge of the clock."""
    reader = pylibfst.lib.fstReaderOpen(str(wave).encode())
    _, signals = pylibfst.get_scopes_signals2(reader)
    handles: dict[int, list[str]] = {}
    for name, signal in signals.by_name.items():
        path, _, leaf = name.split(" ")[0].rpartition(".")
        if path.startswith("bench.core") and "$" not in name:
            short = f"{path}.{leaf}".removeprefix("bench.core.")
            handles.setdefault(signal.handle, []).append(short)
    (clock,) = (handle for handle, names in handles.items() if "clk" in names)
    now = dict.fromkeys(handles, 0)
    found: dict[str, list[int]] = {name: [] for names in handles.values() for name in names}
    changes: dict[int, list[tuple[int, int]]] = {}

    def change(_: object, time: int, handle: int, value: object) -> None:
        text = pylibfst.helpers.string(value)
        changes.setdefault(time, []).append((handle, int(text.replace("x", "0"), 2)))

    pylibfst.lib.fstReaderSetFacProcessMaskAll(reader)
    pylibfst.fstReaderIterBlocks(reader, change)
    for time in sorted(changes):
        if (clock, 1) in changes[time]:
            for handle, names in handles.items():
                for name in names:
                    found[name].append(now[handle])
        now.update(changes[time])
    pylibfst.lib.fstReaderClose(reader)
    return found


def draw(rows: tuple[Row, ...], wave: dict[str, list[int]], begin: int, end: int, skin: str) -> str:
    """The cycles begin..end-1 as SVG."""
    lanes = [{"name": "clk", "wave": "p" + "." * (end - begin - 1)}]
    for row in rows:
        samples = [_sample(row, wave, cycle) for cycle in range(begin, end)]
        text, data, before = "", [], None
        bit = set(wave[row.signal]) <= {0, 1} and not row.signed
        for sample in samples:
            if sample == before:
                text += "."
            elif sample is None:
                text += "x"
            elif bit:
                text += str(sample)
            else:
                text += "="
                data.append(str(sample))
            before = sample
        lanes.append({"name": row.label, "wave": text, "data": data})
    source = {"signal": lanes, "foot": {"tock": 0}, "config": {"skin": skin}}
    drawing = wavedrom.render(json.dumps(source)).tostring()
    return drawing.replace("<svg ", '<svg style="background:white" ', 1) + "\n"


def _sample(row: Row, wave: dict[str, list[int]], cycle: int) -> int | None:
    if row.when is not None and not wave[row.when][cycle]:
        return None
    value = wave[row.signal][cycle]
    width = max(value.bit_length() for value in wave[row.signal])
    if row.bits is not None:
        low, width = row.bits
        value = value >> low & (1 << width) - 1
    if row.signed and value >> width - 1:
        value -= 1 << width
    return value


def main() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.integers(-64, 64, (1, 2, 2, 3), np.int8)
    with tempfile.TemporaryDirectory(prefix="cosign-waves-") as scratch:
        wave = Path(scratch) / "wave.fst"
        run_layer(layer(), inputs, CONFIG, waves=wave)
        sampled = values(wave)
    FOLDER.mkdir(exist_ok=True)
    start = sampled["start"].index(1)
    first = sampled["front.issue"].index(1, start)
    (FOLDER / "layer.svg").write_text(
        draw(LAYER, sampled, start - 1, sampled["done"].index(1, start) + 3, "narrow")
    )
    (FOLDER / "entries.svg").write_text(draw(ENTRIES, sampled, first - 1, first + 26, "default"))


if __name__ == "__main__":
    main()
