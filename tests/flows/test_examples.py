"""The committed records: each file is decoded and executed on all test images of MNIST."""

import argparse
import json
from pathlib import Path

import pytest

from compress.file import container
from cosign import read_json
from flows.commands import evaluate

EXAMPLES = Path(__file__).parents[2] / "examples"
RECORDS = sorted(EXAMPLES.glob("lenet5-*.cosign"))


@pytest.mark.slow
@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_record_is_what_is_said_of_it(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "evaluated.json"
    evaluate.run(argparse.Namespace(model=path, data="mnist", json=out))
    found, said = json.loads(out.read_text()), read_json(path.with_suffix(".json"))
    assert found["accuracy"] == said["accuracy"]
    assert found["compression"] == said["compression"]
    assert found["dataset"]["test"] == 10_000
    assert found["compression"]["file_bytes"] == path.stat().st_size


def test_records_are_read_and_as_small_as_this_version_writes_them() -> None:
    assert RECORDS
    for path in RECORDS:
        blob = path.read_bytes()
        assert container.to_bytes(container.from_bytes(blob)) == blob
