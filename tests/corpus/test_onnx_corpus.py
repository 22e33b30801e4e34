"""Networks of others: what becomes of each kind, and of public files where these are at hand.

Each is read or refused as expected; what is read computes what onnxruntime does, and its integers,
file and export are those of `benchmarks.onnx_corpus`. Public files are looked for in
shared/data/real/onnx of any folder above.
"""

from pathlib import Path

import onnx
import pytest
import torch
from onnx_kinds import KINDS, Kind

from benchmarks.onnx_corpus import verdict


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / "kind.onnx"
    onnx.save(kind.model(), path)
    found = verdict(path)
    assert kind.refused in found.refused
    assert bool(kind.refused) == bool(found.refused), found.refused
    if not kind.refused:
        assert found.difference < kind.difference
        assert found.error is not None
        assert found.error < kind.error
