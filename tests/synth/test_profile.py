import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from made_values import made

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
POINT = Point(
    portion=0.5,
    ratio=2.0,
    lanes=61,
    coding="relative",
    area_um2=1e5,
    fmax_hz=9e8,
    cycles=1000,
    speedup=1.6,
)
CURVE = Curve(
    network="net",
    layer="conv1",
    core="sparse",
    against="dense-2d-8x8",
    sram_model="flat",
    equal_bits=True,
    weights="streamed",
    limit_um2=2e5,
    break_even_ratio=1.25,
    bracket_ratio=(1.2, 1.3),
    difference_um2={"logic": 10.0},
    note="crossed",
    points=(POINT,),
)
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
        ("schema", 9, "schema 9 of cosign"),
        ("network", None, "network is missing"),
        ("layers", 7, "layers is 7, must be array"),
        ("layers/0/break_even", 0.5, r"layers\[0\].break_even is 0.5, must be float >= 1"),
        ("layers/0/cycles", {"sparse-61": 0}, r"layers\[0\].cycles\[...\]: must be int >= 1"),
        ("layers/1/name", "conv1", "a layer twice"),
        ("layers/1/colour", "red", r"layers\[1\].colour is unknown"),
        ("cores/0/fmax_hz", None, r"cores\[0\].fmax_hz is missing"),
        ("cores/0/fmax_hz", 0, r"cores\[0\].fmax_hz is 0, must be float > 0"),
        ("cores/0/blocks_um2/lanes", 1.0, "do not add up"),
        ("cores/0/config/lanes", 0, "must be 1..256"),
        ("cores/0/config/drain", None, r"cores\[0\].config.drain is missing"),
        ("curves/0/points", None, r"curves\[0\].points is missing"),
        ("basis", {}, "basis"),
    ],
)
def test_damaged_profile(tmp_path: Path, path: str, new: object, reason: str) -> None:
    value = json.loads(json.dumps(profile().to_json()))
    damage(value, path, new)
    (tmp_path / "profile.json").write_text(json.dumps(value))
    with pytest.raises(CosignError, match=f"profile.json.*{reason}.*; synthesise again"):
        HardwareProfile.read(tmp_path / "profile.json")


def test_a_file_of_schema_1_is_read(tmp_path: Path) -> None:
    value = profile().to_json() | {"schema": 1}
    del value["written_by"]
    (tmp_path / "profile.json").write_text(json.dumps(value))
    assert HardwareProfile.read(tmp_path / "profile.json") == profile()


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CosignError, match="cannot read"):
        HardwareProfile.read(tmp_path / "nowhere.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(CosignError, match="holds no object"):
        HardwareProfile.read(tmp_path / "list.json")


@given(profile=made(HardwareProfile))
@settings(max_examples=30, deadline=None)
def test_any_profile_makes_the_round_trip(
    tmp_path_factory: pytest.TempPathFactory, profile: HardwareProfile
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    profile.write(path)
    assert HardwareProfile.read(path) == profile
