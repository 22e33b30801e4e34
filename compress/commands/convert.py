"""Write a compressed network as ONNX or safetensors.

onnxruntime executes the ONNX before the file gets its name; `qdq` must give the outputs of the
integer model, bit for bit.
"""

import argparse

from compress.file import container
from cosign.paths import new_file, old_file


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=old_file, help="a model.cosign file")
    parser.add_argument(
        "--to",
        required=True,
        choices=("qdq", "qonnx", "safetensors"),
        help="ONNX that onnxruntime executes to the same integers; ONNX with Quant nodes; weights "
        "and masks",
    )
    parser.add_argument("--out", type=new_file, required=True, metavar="FILE")


def run(options: argparse.Namespace) -> int:
    """Write; raises CosignError on a damaged file, and when what would be written is wrong."""
    from compress.exchange import convert  # onnx: --help does without
    from sim import golden  # the one thing that commands here have of another room

    convert.write(container.load(options.model), options.to, options.out, golden.trace)
    return 0
