"""The paper's tables beside ours, from a committed results.json."""

from pathlib import Path

from msgspec.structs import replace

from compress.zoo.density import kept_weights
from compress.zoo.networks import densities, spec_of
from flows.report import paper_tables, tables
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


def test_an_accuracy_has_its_standard_error() -> None:
    # 411 of 480 right: sqrt(0.85625 * 0.14375 / 480) = 0.01601
    assert tables.accuracy_of(411 / 480, 480) == "85.62% ± 1.60"
    assert tables.standard_error(1.0, 480) == 0


def test_accuracy_on_other_data_is_not_beside_the_papers() -> None:
    results = Results.read(RESULTS)  # AlexNet on a generated set
    for table in (paper_tables.table_9(results), paper_tables.size_table(results)):
        assert table is not None
        cells = [cell for column in table.columns for cell in column.cells]
        assert "other data" in cells
        assert not any(str(cell).startswith("-") for cell in cells)
    assert results.table_9 is not None
    better = replace(results.table_9, accuracy_loss=-0.0437)
    photographs = replace(results, dataset=replace(results.dataset, note=""), table_9=better)
    table = paper_tables.table_9(photographs)
    assert table is not None
    assert "-4.4 %" in [cell for column in table.columns for cell in column.cells]
