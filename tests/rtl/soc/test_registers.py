"""The register map: free of overlaps, and the same in the C header and in the document."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rtl.config import CoreConfig
from rtl.layer import Error, descriptor
from rtl.soc.registers import ADDRESS_BITS, CORE_ERRORS_AT, c_header, markdown, register_map

CONFIGS = {
    "sparse": CoreConfig(),
    "absolute": CoreConfig(coding="absolute"),
    "bitmask": CoreConfig(coding="bitmask"),
    "dense-scalar": CoreConfig("dense-scalar", pipeline=2),
    "dense-2d": CoreConfig("dense-2d", lanes=16, filters=4),
    "dense-packed": CoreConfig("dense-packed", lanes=16, filters=4),
    "sparse-rows": CoreConfig("sparse-rows", lanes=16, filters=4),
    "sparse-nm": CoreConfig("sparse-nm", lanes=16, filters=4),
}
every_core = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


@every_core
def test_every_register_has_a_place_of_its_own(config: CoreConfig) -> None:
    registers = list(register_map(config).values())
    offsets = [register.offset for register in registers]
    assert offsets == sorted(set(offsets))
    assert all(offset % 4 == 0 and offset < 1 << ADDRESS_BITS for offset in offsets)
    for register in registers:
        together = 0
        for field in register.fields:
            assert 0 < field.mask < 1 << 32
            assert together & field.mask == 0
            together |= field.mask
        assert len({field.name for field in register.fields}) == len(register.fields)


@every_core
def test_the_descriptor_and_the_errors_are_there(config: CoreConfig) -> None:
    registers = register_map(config)
    for name, member in descriptor(config).members.items():
        (field,) = registers[f"layer_{name}"].fields
        assert (field.shift, field.bits, field.access) == (0, member.shape, "rw")
    shifts = {field.name: field.shift for field in registers["status"].fields}
    for error in Error:
        assert shifts[f"error_{error.name.lower()}"] == CORE_ERRORS_AT + error


def test_the_map_tells_its_config() -> None:
    registers = register_map(CONFIGS["sparse"])
    low, high = (registers[f"config_{half}"].value for half in ("low", "high"))
    assert f"{high << 32 | low:012x}" == CONFIGS["sparse"].hash
    assert registers["id"].value.to_bytes(4, "little") == b"CSGN"


@every_core
def test_the_c_header_agrees_with_the_map(config: CoreConfig, tmp_path: Path) -> None:
    """The compiler checks every offset, shift and mask."""
    compiler = shutil.which("g++")
    assert compiler is not None
    (tmp_path / "cosign_registers.h").write_text(c_header(config))
    checks = ['#include "cosign_registers.h"', '#include "cosign_registers.h"']
    for register in register_map(config).values():
        name = f"COSIGN_{register.name.upper()}"
        expected = {name: register.offset}
        if register.value is not None:
            expected[f"{name}_RESET"] = register.value
        for field in register.fields:
            part = f"{name}_{field.name.upper()}"
            expected |= {f"{part}_SHIFT": field.shift, f"{part}_MASK": field.mask}
        checks += [f'static_assert({n} == {v}u, "{n}");' for n, v in expected.items()]
    (tmp_path / "check.cpp").write_text("\n".join(checks) + "\n")
    subprocess.run(
        [compiler, "-fsyntax-only", "-Wall", "-Wextra", "-Werror", tmp_path / "check.cpp"],
        check=True,
    )


@every_core
def test_the_document_lists_every_field(config: CoreConfig) -> None:
    text = markdown(config)
    assert config.hash in text
    rows = re.findall(r"^\| 0x([0-9A-F]{3}) \| `(\w+)` \| ([\d:]+) \| `(\w+)` \|", text, re.M)
    listed = [
        (int(at, 16), name, int(bits.split(":")[-1]), field) for at, name, bits, field in rows
    ]
    assert listed == [
        (register.offset, register.name, field.shift, field.name)
        for register in register_map(config).values()
        for field in register.fields
    ]
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {8}
