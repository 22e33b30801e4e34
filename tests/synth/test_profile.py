import json
from pathlib import Path
from typing import Any

import pytest

from cosign import CosignError
from rtl.config import CoreConfig
from synth.breakeven import Curve, Point
from synth.profile import HardwareProfile, LayerCost
from synth.report import CoreReport

CORE = CoreReport(
    CoreConfig(),
    8e4,
    {"flat": {"weight": 1.0}},
    9e8,
    -0.1,
    "a to b",
    {"INV_X1": 3},
    2,
    {},
    1.5,
    {"lanes": 7e4, "control": 1e4},
)
CURVE = Curve(
    "net", "conv1", "sparse", "dense-2d-8x8", "flat", True, "streamed", 2e5, 1.25, (1.2, 1.3),
    {"logic": 10.0}, "crossed", (Point(0.5, 2.0, 61, "relative", 1e5, 9e8, 1000, 1.6),),
)  # fmt: skip
BASIS = {"against": "dense-2d-8x8", "sram_model": "flat", "weights": "streamed"}


def profile() -> HardwareProfile:
    layers = (LayerCost("conv1", {"sparse-61": 10, "dense-2d-8x8": 12}, 1.25),
              LayerCost("fc", {"sparse-61": 10}, None))  # fmt: skip
    return HardwareProfile("net", (CORE,), layers, (CURVE,), BASIS, {"command": "make"})


def test_round_trip(tmp_path: Path) -> None:
    profile().write(tmp_path / "profile.json")
    again = HardwareProfile.read(tmp_path / "profile.json")
    assert again == profile()
    assert again.break_even("conv1") == 1.25
    assert again.break_even("fc") is None
    with pytest.raises(CosignError, match="no layer 'conv9'"):
        again.break_even("conv9")


def damage(value: dict[str, Any], path: str, new: object) -> None:
    *parents, last = path.split("/")
    here: Any = value
    for key in parents:
        here = here[int(key) if key.isdigit() else key]
    if new is None:
        del here[last]
    else:
        here[last] = new


@pytest.mark.parametrize(
    ("path", "new", "reason"),
    [
        ("schema", 9, "schema 9"),
        ("network", None, "damaged"),
        ("layers", 7, "damaged"),
        ("layers/0/break_even", 0.5, "break-even ratio of 0.5"),
        ("layers/0/cycles", {"sparse-61": 0}, "no positive cycles"),
        ("layers/1/name", "conv1", "a layer twice"),
        ("cores/0/fmax_hz", None, "damaged"),
        ("cores/0/fmax_hz", 0, "no Fmax"),
        ("cores/0/config/lanes", 0, "must be 1..256"),
        ("curves/0/points", None, "damaged"),
        ("basis", {}, "basis"),
    ],
)
def test_damaged_profile(tmp_path: Path, path: str, new: object, reason: str) -> None:
    value = json.loads(json.dumps(profile().to_json()))
    damage(value, path, new)
    (tmp_path / "profile.json").write_text(json.dumps(value))
    with pytest.raises(CosignError, match=reason):
        HardwareProfile.read(tmp_path / "profile.json")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CosignError, match="cannot read"):
        HardwareProfile.read(tmp_path / "nowhere.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(CosignError, match="schema None"):
        HardwareProfile.read(tmp_path / "list.json")
