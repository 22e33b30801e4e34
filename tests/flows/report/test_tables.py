"""The paper's tables beside ours, from a committed results.json."""

import json
from pathlib import Path

from compress.zoo.density import kept_weights
from compress.zoo.networks import densities, spec_of
from flows.report import tables

RESULTS = Path(__file__).parents[3] / "docs" / "results" / "alexnet" / "results.json"


def test_table_8_has_the_papers_totals_and_ours() -> None:
    results = json.loads(RESULTS.read_text())
    keep = kept_weights(spec_of("alexnet"), densities("alexnet", "ours1"))
    for layer in results["layers"]:
        layer["nonzeros"] = keep[layer["name"]]
    table = tables.table_8(results)
    assert table is not None
    columns = [list(column.cells) for column in table.columns]
    totals = dict(zip(columns[0], columns[-1], strict=True))
    # As the paper prints them, with the densities of its row; we have 5 bits in CONV1, too.
    assert totals["alexnet (paper)"] == "1,332M"
    assert totals["ours1 (paper)"] == totals["cosign, this run"] == "209M"
    assert totals["wen (paper)"] == "409M"
    assert totals["ours1 × bits (paper)"] == "1,311M"
    assert totals["han × bits (paper)"] == "4,728M"
    assert totals["cosign × bits, this run"] == "1,044M"
