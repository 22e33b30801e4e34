"""Show what every byte of a file is for, by layer, and how much computation is left."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from compress.file import container
from compress.model.graph import Layer
from cosign.consoles import aligned
from cosign.options import add_json, publish
from cosign.paths import old_file


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=old_file, help="a model.cosign file")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print and write the sizes; raises CosignError as `inspect` does."""
    report = inspect(options.model)
    publish(report, options.json, table(report))
    return 0


def inspect(path: Path) -> dict[str, Any]:
    """Sizes in bytes by layer and purpose, as Tables 5 and 6 count them, and computation.

    `q` is the least and the largest interval of a layer's filters that have weights; `bias_bytes`
    include what scales of filters take. `macs` are the multiply-accumulates of one image with the
    weights that are left, `mac_bits` their product with the bits of a weight (Table 8, where a MAC
    counts as two operations). `dead` are those of the `filters`, neurons of a linear layer, that
    have no weight. `conv` sums up the convolutions. `header_bytes` is the rest of the file: names,
    geometry, scales and checksums. `act_bits` are those of every activation.
    Raises CosignError when the file is missing or damaged.
    """
    model, sizes = container.inspect(path)
    layers = [
        {
            "name": layer.name,
            "kind": layer.geometry.kind,
            "weights": layer.geometry.weights,
            "nonzeros": layer.nnz,
            "filters": layer.geometry.out_channels,
            "dead": layer.dead,
            "bits": layer.bits,
            "q": _intervals(layer),
            "macs": _macs(layer),
            "mac_bits": _macs(layer) * layer.bits,
            "index_coding": sizes[layer.name].index_coding,
            "index_bits": sizes[layer.name].index_bits,
            "data_bytes": sizes[layer.name].data_bytes,
            "index_bytes": sizes[layer.name].index_bytes,
            "bias_bytes": sizes[layer.name].bias_bytes,
        }
        for layer in model.layers
    ]
    total = _total(layers)
    total["file_bytes"] = path.stat().st_size
    total["header_bytes"] = total["file_bytes"] - sum(total[key] for key in _BYTES)
    conv = _total([layer for layer in layers if layer["kind"] == "conv"])
    return {
        "network": model.name,
        "act_bits": model.act_bits,
        "layers": layers,
        "conv": conv,
        "total": total,
    }


_BYTES = ("data_bytes", "index_bytes", "bias_bytes")


def _intervals(layer: Layer) -> list[float]:
    live = np.diff(layer.row_ptr) > 0
    q = layer.q[live] if live.any() else layer.q
    return [float(q.min()), float(q.max())]


def _macs(layer: Layer) -> int:
    return layer.nnz * layer.geometry.out_height * layer.geometry.out_width


def _total(layers: list[dict[str, Any]]) -> dict[str, Any]:
    keys = ("weights", "nonzeros", "filters", "dead", "macs", "mac_bits", *_BYTES)
    return {key: sum(layer[key] for layer in layers) for key in keys}


def table(report: dict[str, Any]) -> str:
    """The report of `inspect` as aligned text."""
    head = (
        "layer",
        "weights",
        "non-zeros",
        "pruning",
        "dead",
        "bits",
        "q",
        "MACs",
        "MAC x bits",
        "index",
        "data B",
        "index B",
        "bias B",
    )
    rows: list[tuple[str, ...]] = [head]
    for layer in report["layers"]:
        index = layer["index_coding"]
        if layer["index_bits"]:
            index += f" {layer['index_bits']}b"
        q = "-".join(f"{value:.3g}" for value in sorted(set(layer["q"])))
        rows.append(_row(layer["name"], layer, str(layer["bits"]), q, index))
    total = report["total"]
    mean_bits = sum(layer["bits"] * layer["nonzeros"] for layer in report["layers"])
    if report["conv"]["weights"] not in (0, total["weights"]):
        rows.append(_row("all conv", report["conv"], "", "", ""))
    rows.append(_row("total", total, f"{mean_bits / max(total['nonzeros'], 1):.2f}", "", ""))
    lines = [aligned(rows, left=(0, head.index("index")))]
    dense = 4 * total["weights"]
    lines.append(
        f"header {total['header_bytes']:,} B, file {total['file_bytes']:,} B; 32-bit weights "
        f"{dense:,} B: {dense / max(total['data_bytes'], 1):,.0f}x by weight data, "
        f"{dense / total['file_bytes']:,.0f}x by file"
    )
    return "\n".join([f"{report['network']}, activations of {report['act_bits']} bits", *lines])


def _row(name: str, part: dict[str, Any], bits: str, q: str, index: str) -> tuple[str, ...]:
    ratio = part["weights"] / max(part["nonzeros"], 1)
    dead = f"{part['dead']:,}/{part['filters']:,}"
    counts = (f"{part['weights']:,}", f"{part['nonzeros']:,}", f"{ratio:.2f}x", dead, bits, q)
    work = (f"{part[key] / 1e6:,.2f}M" for key in ("macs", "mac_bits"))
    return (name, *counts, *work, index, *(f"{part[key]:,}" for key in _BYTES))
