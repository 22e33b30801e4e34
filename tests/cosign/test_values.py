"""Values that cross files: what is read is what was written, and what is wrong has its name."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_values import made
from msgspec import Meta

import cosign
from cosign import CosignError, read_json, values, write_json
from cosign.values import Count, Ratio, Share, Value


@dataclass(frozen=True)
class Inner:
    size: Count
    name: str = "usual"
    grain: int = field(default=1, metadata=values.LATER)

    def __post_init__(self) -> None:
        if self.size == 13:
            raise CosignError("13 is no size.")

    @property
    def twice(self) -> int:
        return 2 * self.size


class Outer(Value, frozen=True, kw_only=True):
    share: Share
    ratios: dict[str, Ratio | None]
    pair: tuple[float, float]
    inner: tuple[Inner, ...]
    newer: Annotated[int, Meta(le=9)] = 7


GOOD: dict[str, Any] = {
    "share": 0.5,
    "ratios": {"conv1": 2.0, "fc": None},
    "pair": [1.0, -2.0],
    "inner": [{"size": 3, "name": "a"}],
    "newer": 1,
}


def read(path: Path) -> Outer:
    return values.read(path, Outer, (1, 2), "measure again")


def written(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps({"schema": 2, "written_by": "3.1", **GOOD, **changes}))
    return path


@given(made(Outer))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, value: Outer) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, values.stamped(value, 2))
    assert read(path) == value
    stamp = list(read_json(path).items())[:2]
    assert stamp == [("schema", 2), ("written_by", cosign.__version__)]


def test_an_older_file_may_lack_what_is_newer(tmp_path: Path) -> None:
    content = {name: value for name, value in GOOD.items() if name != "newer"}
    (tmp_path / "old.json").write_text(json.dumps({"schema": 1, **content}))
    assert read(tmp_path / "old.json").newer == 7


def test_a_dataclass_is_written_as_before_it_had_its_later_fields(tmp_path: Path) -> None:
    assert values.plain([Inner(3), Inner(4, "b", 2)]) == [
        {"size": 3, "name": "usual"},
        {"size": 4, "name": "b", "grain": 2},
    ]
    inner = [{"size": 3, "name": "a"}, {"size": 3, "name": "a", "grain": 5}]
    assert read(written(tmp_path / "f.json", inner=inner)).inner == (
        Inner(3, "a"),
        Inner(3, "a", 5),
    )


def test_properties_in_a_file_are_not_read(tmp_path: Path) -> None:
    inner = [{"schema": 4, "size": 3, "name": "a", "twice": 6}]
    assert read(written(tmp_path / "f.json", inner=inner)).inner == (Inner(3, "a"),)


def test_a_file_without_a_schema_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text("{}")
    with pytest.raises(CosignError, match=r"f\.json: schema is missing; "):
        read(tmp_path / "f.json")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"schema": 3}, "has schema 3 of cosign 3.1, this version reads 1 and 2"),
        ({"schema": 0, "written_by": None}, "has schema 0 of an earlier version, this version"),
        ({"schema": None}, "has schema None of cosign 3.1"),
        ({"schema": [2]}, r"has schema \[2\] of"),
        ({"schema": True}, "has schema True of"),
        ({"schema": 3, "written_by": ["a\n"] * 99}, "has schema 3 of cosign "),
        ({"a\nb": 1}, ": a b is unknown"),
        ({"inner": [{"size": 1, "name": "", "a\nb": 1}]}, r": inner\[0\].a b is unknown"),
        ({"colour": "red"}, ": colour is unknown"),
        ({"share": "half"}, ": share is 'half', must be float"),
        ({"share": 1.5}, ": share is 1.5, must be float <= 1"),
        ({"share": None}, ": share is None, must be float"),
        ({"share": True}, ": share is True, must be float"),
        ({"share": 10**400}, ": share is 1000.*000, Number out of range"),
        ({"ratios": {"conv1": 0.5}}, r": ratios\[...\]: must be float >= 1"),
        ({"ratios": []}, r": ratios is \[\], must be object"),
        ({"pair": [1]}, r": pair is \[1\], must be array of length 2"),
        ({"pair": [1, {}]}, r": pair\[1\] is {}, must be float"),
        ({"inner": [{"size": 2.5, "name": ""}]}, r": inner\[0\].size is 2.5, must be int"),
        ({"inner": [{"size": -1, "name": ""}]}, r": inner\[0\].size is -1, must be int >= 0"),
        ({"inner": [{"size": 3}]}, r": inner\[0\].name is missing"),
        ({"inner": [{"name": ""}]}, r": inner\[0\].size is missing"),
        ({"inner": [{"size": 3, "name": "", "x": 1}]}, r": inner\[0\].x is unknown"),
        ({"inner": [{"size": 13, "name": ""}]}, ": 13 is no size"),
        ({"inner": [7]}, r": inner\[0\] is 7, must be object"),
        ({"newer": 10}, ": newer is 10, must be int <= 9"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(CosignError, match=f"^.*wrong.json{'.*' * (sentence[0] != ':')}") as caught:
        read(written(tmp_path / "wrong.json", **changes))
    assert caught.match(f"{sentence}.*; measure again.$")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not valid JSON"),
        (b"\x00\xff\xfe", "is not valid JSON"),
        (b'{"schema": 2, "share": NaN}', "is not valid JSON"),
        (b'{"schema": 2, "share": 1e999}', "is not valid JSON .*out of range"),
        (b'{"schema": 2} {}', "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b'{"schema": 2, "share": ' + b'{"a":' * 50_000, "is not valid JSON"),
        (b"1" * 5000, "is not valid JSON|holds no object"),
        (b"[]", "holds no object"),
        (b'"2"', "holds no object"),
        (b'{"schema": 2}', "share is missing"),
    ],
)
def test_what_is_no_such_file_is_a_sentence(content: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_bytes(content)
    with pytest.raises(CosignError, match=f"odd.json:? ?.*({sentence})") as caught:
        read(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(CosignError, match="cannot read"):
        read(tmp_path / "nowhere.json")


@given(data=st.data())
def test_damage_anywhere_is_a_sentence(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One part of a good file replaced by anything: it is read as it stands, or refused."""
    content: Any = {"schema": 2, "written_by": "3.1", **json.loads(json.dumps(GOOD))}
    here = content
    while True:
        key = data.draw(st.sampled_from(list(here) if isinstance(here, dict) else range(len(here))))
        if not isinstance(here[key], dict | list) or data.draw(st.booleans()):
            break
        here = here[key]
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda part: st.lists(part, max_size=2) | st.dictionaries(st.text(), part, max_size=2),
        max_leaves=4,
    ).filter(lambda value: value not in (float("inf"), float("-inf")))
    here[key] = data.draw(anything)
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_text(json.dumps(content))
    refusal, found = "", None
    try:
        found = read(path)
    except CosignError as error:
        refusal = str(error)
    if found is None:
        assert str(path) in refusal
        assert "\n" not in refusal
    else:
        again = json.loads(cosign.json_text(values.stamped(found, 2)))
        assert again == content | {"schema": 2, "written_by": cosign.__version__}


def test_text_has_the_values_fields() -> None:
    value = Outer(share=0.5, ratios={}, pair=(1, 2), inner=(Inner(1),))
    assert json.loads(cosign.json_text([value]))[0]["inner"] == [
        {"size": 1, "name": "usual", "grain": 1}
    ]
