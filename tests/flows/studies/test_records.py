"""Records of studies that go on: what is in them is looked at before anything is measured."""

import pytest
from msgspec import convert

from cosign import CosignError, values
from flows.studies import baselines, posttrain

ROW = {"method": "admm", "ratio": 4.0, "nonzeros": 9, "validation": 0.5, "test": 0.5}
SCORED = {"method": "oneshot", "ratio": 2.0, "bits": 8, "top1": 1, "top5": 2}
SCORED |= {"nonzeros": 9, "file_bytes": 99, "processor_s": 1.5}


@pytest.mark.parametrize("kind", [baselines._Record, posttrain._Record])
@pytest.mark.parametrize("wrong", [[], {"rows": None}, {"rows": [[]]}, {"rows": [{}]}])
def test_what_is_no_record(kind: type, wrong: object) -> None:
    with pytest.raises(CosignError, match=r"^record\.json: .*; choose another --out\.$"):
        values.parse(wrong, kind, "record.json", "choose another --out")


@pytest.mark.parametrize(("kind", "row"), [(baselines._Record, ROW), (posttrain._Record, SCORED)])
def test_every_figure_of_a_row_is_needed(kind: type, row: dict[str, object]) -> None:
    assert len(convert({"rows": [row], "seed": 1}, kind).rows) == 1
    for name in row:
        for damaged in ({k: v for k, v in row.items() if k != name}, row | {name: None}):
            with pytest.raises(CosignError, match=rf"rows\[0\]\.{name} is "):
                values.parse({"rows": [damaged]}, kind, "record.json", "choose another --out")
