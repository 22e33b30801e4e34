"""python -m compress inspect model.cosign: the purpose of every byte of a compressed file."""

import argparse
import sys
from pathlib import Path
from typing import Any

from compress import container
from cosign import CosignError, write_json


def inspect(path: Path) -> dict[str, Any]:
    """Sizes in bytes by layer and purpose, as Tables 5 and 6 count them.

    `header_bytes` is the rest of the file: names, geometry, scales and the section table.
    Raises CosignError when the file is missing or damaged.
    """
    model = container.load(path)
    sizes = container.sizes(model)
    layers = [
        {
            "name": layer.name,
            "kind": layer.geometry.kind,
            "weights": layer.geometry.weights,
            "nonzeros": layer.nnz,
            "bits": layer.bits,
            "index_coding": sizes[layer.name].index_coding,
            "index_bits": sizes[layer.name].index_bits,
            "data_bytes": sizes[layer.name].data_bytes,
            "index_bytes": sizes[layer.name].index_bytes,
            "bias_bytes": sizes[layer.name].bias_bytes,
        }
        for layer in model.layers
    ]
    keys = ("weights", "nonzeros", "data_bytes", "index_bytes", "bias_bytes")
    total: dict[str, Any] = {key: sum(layer[key] for layer in layers) for key in keys}
    total["file_bytes"] = path.stat().st_size
    total["header_bytes"] = total["file_bytes"] - sum(total[key] for key in keys[2:])
    return {"network": model.name, "layers": layers, "total": total}


def table(report: dict[str, Any]) -> str:
    """The report of `inspect` as aligned text."""
    head = (
        "layer",
        "weights",
        "non-zeros",
        "pruning",
        "bits",
        "index",
        "data B",
        "index B",
        "bias B",
    )
    rows = [head]
    for layer in report["layers"]:
        index = f"{layer['index_coding']} {layer['index_bits']}b"
        rows.append((layer["name"], *_counts(layer), str(layer["bits"]), index, *_bytes(layer)))
    total = report["total"]
    mean_bits = sum(layer["bits"] * layer["nonzeros"] for layer in report["layers"])
    mean = f"{mean_bits / max(total['nonzeros'], 1):.2f}"
    rows.append(("total", *_counts(total), mean, "", *_bytes(total)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if column in (0, 5) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    dense = 4 * total["weights"]
    lines.append(
        f"header {total['header_bytes']:,} B, file {total['file_bytes']:,} B; 32-bit weights "
        f"{dense:,} B: {dense / max(total['data_bytes'], 1):,.0f}x by weight data, "
        f"{dense / total['file_bytes']:,.0f}x by file"
    )
    return "\n".join([f"{report['network']}", *lines])


def _counts(part: dict[str, Any]) -> tuple[str, str, str]:
    ratio = part["weights"] / max(part["nonzeros"], 1)
    return f"{part['weights']:,}", f"{part['nonzeros']:,}", f"{ratio:.2f}x"


def _bytes(part: dict[str, Any]) -> tuple[str, str, str]:
    return f"{part['data_bytes']:,}", f"{part['index_bytes']:,}", f"{part['bias_bytes']:,}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m compress", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("inspect", help="show what every byte of a file is for")
    command.add_argument("model", type=Path, help="a model.cosign file")
    command.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args(arguments)
    try:
        report = inspect(options.model)
        if options.json:
            write_json(options.json, report)
    except CosignError as error:
        print(f"cosign: {error}", file=sys.stderr)
        return 2
    print(table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
