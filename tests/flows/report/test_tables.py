"""The paper's tables beside ours, from a committed results.json."""

from pathlib import Path

from msgspec.structs import replace

from compress.zoo.density import kept_weights
from compress.zoo.networks import densities, spec_of
from flows.report import paper_tables
from flows.report.results import Results

RESULTS = Path(__file__).parents[3] / "docs" / "results" / "alexnet" / "results.json"


def test_table_8_has_the_papers_totals_and_ours() -> None:
    results = Results.read(RESULTS)
    keep = kept_weights(spec_of("alexnet"), densities("alexnet", "ours1"))
    layers = tuple(replace(layer, nonzeros=keep[layer.name]) for layer in results.layers)
    table = paper_tables.table_8(replace(results, layers=layers))
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
