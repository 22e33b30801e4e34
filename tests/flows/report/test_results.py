"""results.json: what is written is read, and the files that are published can be read for ever."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from made_values import made

import cosign
from cosign import CosignError, write_json
from flows.report.results import Results

PUBLISHED = sorted((Path(__file__).parents[3] / "docs" / "results").glob("*/results.json"))
LENET5 = next(path for path in PUBLISHED if path.parent.name == "lenet5")


@given(results=made(Results))
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, results: Results
) -> None:
    path = tmp_path_factory.getbasetemp() / "results.json"
    write_json(path, results.to_json())
    assert Results.read(path) == results
    stamp = list(json.loads(path.read_text()).items())[:2]
    assert stamp == [("schema", 3), ("written_by", cosign.__version__)]


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_published_files_are_read(path: Path) -> None:
    """Of every schema: what is in them is as it was, and what they lack has its default."""
    content = json.loads(path.read_text())
    again = json.loads(cosign.json_text(Results.read(path).to_json()))
    assert (again.pop("schema"), again.pop("written_by")) == (3, cosign.__version__)
    assert content.pop("schema") in (1, 2, 3)
    content.pop("written_by", None)
    added: dict[str, Any] = {}
    _compare(content, again, added)
    assert (
        added.items()
        <= {
            "method": "admm",
            **dict.fromkeys(
                (
                    *("fidelity", "allocation", "standard_error", "batch", "bytes_per_cycle"),
                    "multipliers",
                )
            ),
        }.items()
    )


def _compare(old: Any, new: Any, added: dict[str, Any]) -> None:
    """`new` holds all of `old`; what it has beside is put into `added`."""
    if isinstance(old, dict):
        assert old.keys() <= new.keys()
        added |= {name: value for name, value in new.items() if name not in old}
        for name, value in old.items():
            _compare(value, new[name], added)
    elif isinstance(old, list):
        for one, other in zip(old, new, strict=True):
            _compare(one, other, added)
    else:
        assert old == new


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (("layers", 0, "bits"), 9, r"layers\[0\].bits is 9, must be int <= 8"),
        (("layers", 0, "decision"), "maybe", r"layers\[0\].decision is 'maybe', which is none of"),
        (
            ("layers", 0, "cycles", "sparse"),
            0,
            r"layers\[0\].cycles.sparse is 0, must be float > 0",
        ),
        (("accuracy", "integer"), 1.01, "accuracy.integer is 1.01, must be float <= 1"),
        (("hardware", "break_even"), 0.9, "hardware.break_even is 0.9, must be float >= 1"),
        (
            ("hardware", "curves", 0, "points", 1, "lanes"),
            -1,
            r"curves\[0\].points\[1\].lanes is -1",
        ),
        (("wall_s", "dense"), None, r"wall_s\[...\]: must be float"),
        (("layers",), {}, "layers is {}, must be array"),
        (("colour",), "red", "colour is unknown"),
    ],
)
def test_a_wrong_field_is_named(
    place: tuple[str | int, ...], value: object, sentence: str, tmp_path: Path
) -> None:
    content = here = json.loads(LENET5.read_text())
    for key in place[:-1]:
        here = here[key]
    here[place[-1]] = value
    path = tmp_path / "results.json"
    path.write_text(json.dumps(content))
    with pytest.raises(CosignError, match=f"results.json: .*{sentence}.*; give the results.json"):
        Results.read(path)


def test_another_version_is_named(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text('{"schema": 4, "written_by": "7"}')
    with pytest.raises(CosignError, match="schema 4 of cosign 7, this version reads 1 and 2 and 3"):
        Results.read(path)
