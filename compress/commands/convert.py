"""Write a compressed network as ONNX or safetensors."""

import argparse
from pathlib import Path

from compress.file import container


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="a model.cosign file")
    parser.add_argument(
        "--to",
        required=True,
        choices=("qdq", "qonnx", "safetensors"),
        help="ONNX that onnxruntime executes to the same integers; ONNX with Quant nodes; weights "
        "and masks",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")


def run(options: argparse.Namespace) -> int:
    """Write; raises CosignError on a damaged file."""
    from compress.exchange import convert  # onnx: --help does without

    convert.write(container.load(options.model), options.to, options.out)
    return 0
