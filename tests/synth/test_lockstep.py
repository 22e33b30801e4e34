"""The mapped netlist of a core of each kind against its RTL: every output, in every cycle."""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from random_layers import obeying, random_input, random_layer

from compress.model.graph import Geometry
from cosign import CosignError
from rtl.config import CoreConfig
from rtl.program.pack import pack_layer
from sim.golden import layer_output
from sim.record import Recording, record
from sim.run import simulators_dir
from sim.simulate import Job
from synth.pdk import find_pdk
from synth.replay import Activity, replay
from synth.report import synthesize

SMALL = {"lanes": 3, "act_banks": 2, "bank_bytes": 4, "act_depth": 64, "weight_depth": 32}
SMALL |= {"weight_bits": 4, "acc_bits": 18, "mul_bits": 8}
CORES = {
    "sparse": CoreConfig("sparse", index_bits=4, **SMALL),
    "sparse-bitmask": CoreConfig(
        "sparse", coding="bitmask", mask_bits=9, mask_depth=8, tap_depth=16, **SMALL
    ),
    "bitmask-dot": CoreConfig(
        "sparse",
        coding="bitmask",
        streams=2,
        mask_bits=3,
        run_bits=1,
        mask_depth=16,
        tap_depth=16,
        **SMALL | {"lanes": 2},
    ),
    "bitmask-windows": CoreConfig(
        "sparse",
        coding="bitmask",
        windows=1,
        window_span=3,
        beats=2,
        mask_bits=3,
        mask_depth=32,
        tap_depth=16,
        **SMALL,
    ),
    "dense-scalar": CoreConfig("dense-scalar", **SMALL),
    "dense-2d": CoreConfig("dense-2d", filters=2, **SMALL),
    "dense-2d-gated": CoreConfig("dense-2d", filters=2, gate_zeros=1, **SMALL),
    "dense-2d-resting": CoreConfig(
        "dense-2d", filters=2, gate_zeros=1, rest_sums=1, pipeline=2, **SMALL
    ),
    "dense-packed": CoreConfig("dense-packed", filters=3, mask_bits=4, mask_depth=8, **SMALL),
    "sparse-rows": CoreConfig(
        "sparse-rows", filters=2, window_reads=2, window_span=2, tap_depth=8, **SMALL
    ),
    "window-turns": CoreConfig(
        "sparse",
        coding="window",
        window_span=3,
        filters=2,
        drain=3,
        rest_sums=1,
        **SMALL | {"act_banks": 4},
    ),
    "sparse-nm": CoreConfig("sparse-nm", filters=2, **SMALL | {"act_banks": 4}),
}
GATED = ("sparse", "window-turns", "dense-2d-resting")
GEOMETRY = Geometry("conv", 3, 4, 5, 5, kernel=(3, 3), padding=(1, 1))
DUAL = {"NAND2_X1": "NOR2_X1", "NOR2_X1": "NAND2_X1"}


@dataclass(frozen=True)
class Lockstep:
    """A netlist, and what went in and out of the same core's RTL."""

    netlist: str
    recording: Recording

    def run(self, folder: Path, netlist: str) -> Activity:
        """Replay the text `netlist`; raises CosignError where it differs from the RTL."""
        path = folder / "netlist.v"
        path.write_text(netlist)
        found = self.recording
        library = find_pdk(clock_gating=True).library
        return replay(path, library, found.inputs, found.outputs)


@pytest.fixture(
    scope="module",
    params=[(config, False) for config in CORES.values()] + [(CORES[name], True) for name in GATED],
    ids=[*CORES, *(f"{name}-clock-gating" for name in GATED)],
)
def lockstep(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lockstep:
    """Two layers, one after the other, with idle cycles and back-pressure on every stream."""
    config, clock_gating = request.param
    folder = tmp_path_factory.mktemp("core")
    synthesize(config, folder, clock_gating=clock_gating)
    geometry = dataclasses.replace(GEOMETRY, in_channels=8) if config.structured else GEOMETRY
    scales = {"mul": [139, 255, 9, 70], "shift": [12, 13, 8, 11]}
    layers = [obeying(random_layer(geometry, 0.5, seed=n, **scales), config) for n in range(2)]
    images = [random_input(geometry, seed=n) for n in range(2)]
    jobs = [Job(pack_layer(part, config), x[0]) for part, x in zip(layers, images, strict=True)]
    recording = record(jobs, config, simulators_dir(), stall_seed=1)
    for layer, x, result in zip(layers, images, recording.results, strict=True):
        assert np.array_equal(result.outputs, layer_output(layer, x)[0])
        assert len(np.unique(result.outputs)) > 20
    return Lockstep((folder / "netlist.v").read_text(), recording)


def test_every_output_is_that_of_the_rtl_in_every_cycle(lockstep: Lockstep, tmp_path: Path) -> None:
    activity = lockstep.run(tmp_path, lockstep.netlist)
    found = lockstep.recording
    compared = int((found.inputs["rst"] == 0).sum())
    assert compared > 2 * max(result.cycles for result in found.results)
    assert activity.checked == compared * sum(bits.shape[1] for bits in found.outputs.values())
    assert activity.checked > 10_000
    toggled = {port: np.ptp(bits, axis=0).any() for port, bits in found.outputs.items()}
    assert all(toggled.values()), toggled


def test_a_swapped_gate_is_seen(lockstep: Lockstep, tmp_path: Path) -> None:
    """The busiest gates, one at a time replaced by the dual gate.

    That makes no difference where the inputs of a gate are always equal.
    """
    activity = lockstep.run(tmp_path, lockstep.netlist)
    gates = re.findall(rf"^  ({'|'.join(DUAL)}) (\w+) \(", lockstep.netlist, re.M)
    gates.sort(key=lambda gate: -activity.pins[f"{gate[1]}/ZN"][0])
    seen = []
    for kind, name in gates[:8]:
        broken = lockstep.netlist.replace(f"  {kind} {name} (", f"  {DUAL[kind]} {name} (")
        try:
            lockstep.run(tmp_path, broken)
        except CosignError as error:
            seen.append(str(error))
    assert len(seen) >= 6
    assert all(re.search(r"differ in cycle \d+, output bit \d+", words) for words in seen)
