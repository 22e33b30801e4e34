"""The pages of our JSON files are those that docs/schemas.py makes of the types."""

import importlib.util
from pathlib import Path

import pytest

from flows.report.results import Results

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("schemas", ROOT / "docs" / "schemas.py")
assert SPEC is not None
assert SPEC.loader is not None
schemas = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(schemas)


@pytest.mark.parametrize("path", schemas.pages(), ids=lambda path: path.name)
def test_a_page_is_up_to_date(path: Path) -> None:
    assert path.read_text() == schemas.pages()[path], "run python docs/schemas.py"


def test_a_results_file_has_the_fields_of_its_schema() -> None:
    """Without a validator: the fields of the whole and of every layer, as written today."""
    schema = schemas.schema("results.json")
    found = Results.read(ROOT / "docs/results/lenet5/results.json").to_json()
    parts = schema["$defs"]
    assert list(parts["Results"]["properties"]) == list(found)
    for layer in found["layers"]:
        assert layer.keys() == parts["Layer"]["properties"].keys()
    assert parts["Layer"]["properties"]["bits"]["maximum"] == 8
    assert parts["Accuracy"]["properties"]["dense"]["description"].startswith("of the float")


def test_a_field_without_a_meaning_is_an_error() -> None:
    class Undocumented(schemas.results.Value, frozen=True, kw_only=True):
        """A value.

        Parameters
        ----------
        told, also : what it is
            in two lines
        """

        told: int
        also: int
        untold: int

    assert schemas.described(Undocumented)[1] == dict.fromkeys(
        ("told", "also"), "what it is in two lines"
    )
    with pytest.raises(KeyError, match="untold"):
        schemas.tables(Undocumented)
