"""Two small layers, and cores whose logic takes what a test says, mapped and placed."""

from collections.abc import Callable

from random_layers import random_layer

from compress.model.graph import Geometry
from flows.measure.machines import CoreReports
from rtl.config import CoreConfig
from rtl.coreset import CoreSet, base
from rtl.program.fit import feed
from rtl.sram import macros
from synth.place.options import Placed
from synth.report import CoreReport
from synth.sram import MODELS, area_by_purpose

LAYERS = (
    random_layer(Geometry("conv", 4, 8, 6, 6, kernel=(3, 3), padding=(1, 1)), 0.3, name="conv"),
    random_layer(Geometry("linear", 50, 10), 0.3, name="fc"),
)
BATCH = 4


def cores(filters: int) -> CoreSet:
    """Few lanes; the dense core computes so many filters at once."""
    return CoreSet(
        dense=feed(base("dense-2d"), lanes=4, filters=filters),
        dense_scalar=feed(base("dense-scalar"), lanes=6),
        sparse=feed(base("sparse"), lanes=6),
        candidates=(feed(base("sparse"), lanes=8), feed(base("sparse"), lanes=3)),
        rows=(),
    )


def reports(several: CoreSet, logic_um2: Callable[[CoreConfig], float]) -> list[CoreReport]:
    """Of the cores that break-even needs, each at 1 GHz."""
    made = []
    for core in CoreReports.needed(several):
        areas = {model: area_by_purpose(model, macros(core)) for model in MODELS}
        logic = logic_um2(core)
        made.append(CoreReport(core, logic, areas, 1e9, 0.0, "", {}, 0, {}, 0.0, {"lanes": logic}))
    return made


def placed(logic_um2: float) -> Placed:
    """A core of so much logic, at 1 GHz."""
    return Placed(
        hpwl_mm=900.0,
        wire_pf=99.0,
        library_wire_pf=44.0,
        fmax_hz=1e9,
        slack_ns=0.0,
        critical_path="a to b",
        logic_um2=logic_um2,
        blocks_um2={"lanes": logic_um2},
        cells={"INV_X1": 7},
        buffers=3,
        utilisation=0.69,
        core_um=(312.4, 318.2),
        die_um=(2000.0, 1900.0),
        worst_bin=0.87,
        seed=1,
        wall_s=80.0,
        provenance={},
    )
