"""`cosign compare`: figures are the runs' own, and what cannot be compared is a sentence."""

import json
from pathlib import Path

import pages
import pytest

from flows.__main__ import main
from flows.report import compare

RESULTS = Path(__file__).parents[3] / "docs" / "results"
RUNS = [str(RESULTS / name) for name in ("lenet5", "alexnet", "alexnet-photographs")]
LENET5, ALEXNET, PHOTOGRAPHS = RUNS


def test_figures_are_those_of_the_runs(tmp_path, capsys):
    file, page = tmp_path / "found.json", tmp_path / "found.html"
    arguments = ["compare", LENET5, f"{ALEXNET}/results.json", PHOTOGRAPHS, "--json", str(file)]
    assert main([*arguments, "--html", str(page)]) == 0
    found = json.loads(file.read_text())
    runs = [json.loads((Path(run) / "results.json").read_text()) for run in RUNS]
    assert found["figures"]["accuracy, integer"] == [run["accuracy"]["integer"] for run in runs]
    assert found["figures"]["break-even on"] == ["conv2", "conv4", "conv4"]
    assert found["layers"]["conv2"]["cycles, sparse"] == [
        run["layers"][1]["cycles"]["sparse"] for run in runs
    ]
    assert found["layers"]["conv4"]["decision"] == [None, "sparse", "sparse"]  # not in LeNet-5
    assert found["layers"]["fc"]["speedup"] == [None] * 3  # of one run alone, on its host
    terminal, read = capsys.readouterr().out, pages.read(page.read_text())
    assert read.problems == []
    accuracy, size = runs[0]["accuracy"]["integer"], runs[0]["compression"]["file_bytes"]
    for shown in (f"{accuracy:.2%}", f"{size:,}", "1.04×", "host", "–"):
        assert shown in terminal
        assert shown in read.text


def test_the_total_speedup_is_time_over_time():
    results = compare.read(Path(LENET5))
    dense = sum(layer.cycles.dense for layer in results.layers)
    sparse = sum(layer.cycles.dense / layer.speedup for layer in results.layers)
    found = compare.compare({"run": results})
    assert found.figures["speedup, same area"] == (pytest.approx(dense / sparse),)


def test_json_alone_for_scripts(capsys):
    assert main(["compare", LENET5, ALEXNET, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == [LENET5, ALEXNET]


@pytest.mark.parametrize(
    ("other", "content", "sentence"),
    [
        (LENET5, None, "two different runs"),
        ("nowhere.json", None, "cannot read nowhere.json"),
        ("run", None, "finish the run with --resume"),
        ("bad.json", "{", "not valid JSON"),
        ("old.json", '{"schema": 0}', "old.json has schema 0 of an earlier version"),
        ("new.json", '{"schema": 9, "written_by": "7.1"}', "has schema 9 of cosign 7.1, this"),
        ("list.json", "[]", "list.json holds no object"),
        ("empty.json", '{"schema": 2}', "empty.json: network is missing"),
    ],
)
def test_what_is_no_run_is_a_sentence(other, content, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    if content is not None:
        Path(other).write_text(content)
    assert main(["compare", LENET5, other]) == 2
    assert sentence in capsys.readouterr().err
