"""Sets of cores: what is in the default one, and the file form."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosign import CosignError
from rtl.config import CoreConfig
from rtl.coreset import KINDS, CoreSet, base
from rtl.program.fit import feed

START = "schema = 1\n"


def test_the_default_cores() -> None:
    cores = CoreSet()
    assert (cores.dense.name, cores.dense.act_banks) == ("dense-2d-8x8", 4)
    assert (cores.dense_scalar.name, cores.dense_scalar.drain) == ("dense-scalar-61", 1)
    assert (cores.sparse.name, cores.sparse.drain, cores.sparse.act_banks) == ("sparse-61", 2, 16)
    assert [core.name for core in cores.candidates] == [
        "sparse-46",
        "sparse-34",
        "sparse-61-bitmask",
        "sparse-46-bitmask",
        "sparse-34-bitmask",
        "sparse-91-bitmask",
    ]
    assert {core.drain for core in cores.candidates} == {2}
    assert [core.name for core in cores.rows] == [
        "sparse-rows-6x8",
        "sparse-rows-8x8",
        "sparse-rows-12x8",
    ]
    assert {core.window_span for core in cores.rows} == {3}
    # All begin with the same activation memory.
    assert {core.act_bytes for core in (cores.dense, cores.dense_scalar, cores.sparse)} == {163840}


def fields_of(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    """Some fields of a core of that kind, which any core of it may have."""
    several = kind in ("dense-2d", "dense-packed", "sparse-rows", "sparse-nm")
    return st.fixed_dictionaries(
        {},
        optional={
            "lanes": st.integers(1, 256),
            "filters": st.integers(1, 64) if several else st.just(1),
            "drain": st.just(1),
            "coding": st.sampled_from(("relative", "absolute", "bitmask")),
            "index_bits": st.integers(1, 24),
            "weight_depth": st.integers(2, 1 << 22),
            "bank_bytes": st.sampled_from((1, 2, 4, 8)),
            "act_banks": st.just(2048 if kind == "sparse-nm" else 512),
            "nm_group": st.sampled_from((2, 4, 8)),
            "nm_keep": st.integers(1, 2),
            "gate_zeros": st.integers(0, 1),
            "clock_ns": st.floats(1e-3, 1e6) | st.integers(1, 9),
        },
    )


@st.composite
def sets(draw: st.DrawFn) -> CoreSet:
    def core(kind: str, **fixed: int) -> CoreConfig:
        fields = draw(fields_of(kind)) | fixed
        if "act_banks" in fields:
            return dataclasses.replace(base(kind), **fields)
        return feed(base(kind), **fields)

    lanes = draw(st.integers(1, 256))
    sparse = core("sparse", lanes=lanes)
    several = {}
    for role in ("candidates", "rows", "structured", "packed"):
        drawn = [core(KINDS[role]) for _ in range(draw(st.integers(0, 4)))]
        others = {sparse.name}
        several[role] = tuple(c for c in drawn if not (c.name in others or others.add(c.name)))
    scalar = core("dense-scalar", lanes=lanes)
    return CoreSet(core("dense-2d"), scalar, sparse, **several)


@given(cores=sets())
def test_the_file_form_round_trips(
    cores: CoreSet, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("cores") / "cores.toml"
    cores.write(path)
    again = CoreSet.read(path)
    assert again == cores
    assert again.hash == cores.hash
    assert CoreSet.from_json(cores.to_json()) == cores
    assert (cores.hash == CoreSet().hash) == (cores == CoreSet())


def read(text: str, tmp_path: Path) -> CoreSet:
    path = tmp_path / "cores.toml"
    path.write_text(START + text)
    return CoreSet.read(path)


def test_what_is_not_in_a_file_is_the_defaults(tmp_path: Path) -> None:
    assert read("", tmp_path) == CoreSet()
    cores = read("rows = []\n[dense]\nlanes = 4\nclock_ns = 2\n", tmp_path)
    assert cores.rows == ()
    assert cores.dense == dataclasses.replace(base("dense-2d"), lanes=4, act_banks=2, clock_ns=2.0)
    assert cores.dense.hash == dataclasses.replace(cores.dense, clock_ns=2).hash
    assert (cores.sparse, cores.candidates) == (CoreSet().sparse, CoreSet().candidates)
    wide = read("[dense]\nact_banks = 64\n", tmp_path)
    assert wide.dense.act_banks == 64


def test_cores_are_found_by_role_and_by_name() -> None:
    cores = CoreSet()
    assert cores.named("dense_scalar") is cores.dense_scalar
    assert cores.named("sparse-34-bitmask").coding == "bitmask"
    assert len(cores.cores) == 12
    assert [core.lanes for core in cores.sized] == [61, 46, 34, 61, 46, 34, 91]
    with pytest.raises(CosignError, match="no core 'rows'; there are dense, dense_scalar, sparse"):
        cores.named("rows")


def test_cores_follow_the_activations_of_a_network(tmp_path: Path) -> None:
    cores = CoreSet().for_activations(6)
    assert {core.act_bits for core in cores.cores} == {6}
    assert cores.sparse.name == "sparse-61-a6"
    assert cores.named("sparse-34-bitmask-a6") in cores.candidates
    assert CoreSet().for_activations(8) == CoreSet()
    assert cores.for_activations(6) == cores
    mixed = read("[dense]\nact_bits = 5\n", tmp_path)
    assert mixed.for_activations(5) == CoreSet().for_activations(5)
    with pytest.raises(CosignError, match="dense-2d-8x8-a5 is for activations of 5 bits, the netw"):
        mixed.for_activations(8)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[sprase]\n", "'sprase' is no role of a core; roles are dense, dense_scalar, sparse"),
        ("[sparse]\nlines = 61\n", "sparse: 'lines' is no field of a core"),
        ("[sparse]\nlanes = '61'\n", "sparse: CoreConfig: lanes must be a whole number, not '61'"),
        ("[sparse]\nlanes = true\n", "lanes must be a whole number, not True"),
        ("[sparse]\nlanes = 61.0\n", "lanes must be a whole number, not 61.0"),
        ("[sparse]\nlanes = [61]\n", r"lanes must be a whole number, not \[61\]"),
        ("[sparse]\nlanes = 0\n", "lanes is 0, must be 1..256"),
        ("[sparse]\nlanes = 0x" + 5000 * "f" + "\n", "sparse: lanes is too large a number"),
        ("[sparse]\nlanes = " + 5000 * "9" + "\n", "is not valid TOML"),
        ("[sparse]\nclock_ns = '1'\n", "clock_ns is '1', must be positive"),
        ("[sparse]\nclock_ns = nan\n", "clock_ns is nan, must be positive"),
        ("[sparse]\nclock_ns = inf\n", "clock_ns is inf, must be positive"),
        ("[sparse]\nact_banks = 3\n", "act_banks is 3, must be a power of two"),
        ("[sparse]\nact_banks = 2\n", "61 lanes read up to 64 bytes at once"),
        ("[sparse]\ncoding = 7\n", "coding 7 is not one of"),
        ("[sparse]\ncore = 'sprase'\n", "core 'sprase' is not one of"),
        (
            "[dense]\ncore = 'dense-scalar'\nfilters = 1\n",
            "dense: a dense-scalar core, must be dense",
        ),
        ("[[rows]]\ncore = 'dense-2d'\n", "rows: a dense-2d core, must be sparse-rows"),
        ("[[candidates]]\nlanes = 61\n", "sparse and candidates both have a core sparse-61;"),
        ("[[rows]]\n[[rows]]\ndrain = 2\n", "rows and rows both have a core sparse-rows-8x8;"),
        ("[sparse]\nlanes = 32\n", "sparse has 32 multipliers, dense_scalar 61;"),
        (
            "[candidates]\nlanes = 3\n",
            r"candidates are a list of cores; write each below a line \[\[",
        ),
        ("candidates = [3]\n", r"candidates: the fields of a core belong below a line \[\[candid"),
        ("[[sparse]]\nlanes = 3\n", r"sparse: the fields of a core belong below a line \[sparse\]"),
        ("sparse = 61\n", r"sparse: the fields of a core belong below a line \[sparse\]"),
        ("[sparse\n", "is not valid TOML"),
        ("sparse = " + 5000 * "[" + "\n", "is not valid TOML"),
        ("# " + "x" * (1 << 20), "has more than 1,048,576 bytes"),
    ],
)
def test_a_wrong_file_is_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(CosignError, match=sentence) as caught:
        read(text, tmp_path)
    said = str(caught.value)
    assert "cores.toml" in said
    assert "\n" not in said
    assert said.endswith(".")


def test_the_example() -> None:
    cores = CoreSet.read(Path(__file__).parents[2] / "examples" / "cores.toml")
    assert {core.multipliers for core in (cores.dense, cores.dense_scalar, cores.sparse)} == {16}
    assert cores.named("sparse-12-bitmask") in cores.candidates


@pytest.mark.parametrize("text", ["", "schema = 2\n", "schema = '1'\n"])
def test_another_schema(text: str, tmp_path: Path) -> None:
    (tmp_path / "cores.toml").write_text(text)
    with pytest.raises(CosignError, match="begin the file with `schema = 1`"):
        CoreSet.read(tmp_path / "cores.toml")


def test_no_file(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.toml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(CosignError, match=f"cannot read {path}: {reason}"):
            CoreSet.read(path)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CosignError, match="not valid TOML"):
        CoreSet.read(tmp_path / "bytes.toml")
    with pytest.raises(CosignError, match="cores are tables by role, not 3"):
        CoreSet.from_json(3)
