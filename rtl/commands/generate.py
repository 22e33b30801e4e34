"""Write Verilog, register map and configuration of one machine."""

import argparse
import json
from pathlib import Path

from cosign import read_json
from cosign.options import add_json, publish
from cosign.paths import new_folder, old_file
from rtl import options as core_options
from rtl import verilog
from rtl.config import CoreConfig
from rtl.soc import registers


def add_options(parser: argparse.ArgumentParser) -> None:
    core_options.add_options(parser)
    parser.add_argument("--config", type=old_file, help="CoreConfig JSON in place of the options")
    parser.add_argument(
        "--pad-tdata",
        action="store_true",
        help="make each stream's TDATA as wide as the next power of two of bytes, for DMAs that "
        "have no other widths",
    )
    parser.add_argument("--out", type=new_folder, required=True, help="folder for the files")
    add_json(parser, "config, hash and file names")


def run(options: argparse.Namespace) -> int:
    """Write, and list what was written; raises CosignError on a config that no core can have."""
    config = read_config(options.config) if options.config else core_options.config_of(options)
    paths = generate(config, options.out, padded=options.pad_tdata)
    content = {
        "config": config.to_json(),
        "hash": config.hash,
        "files": [path.name for path in paths],
    }
    told = [f"{config.core} core of {config.multipliers} multipliers, config {config.hash}"]
    publish(content, options.json, "\n".join([*told, *(f"  {path}" for path in paths)]))
    return 0


def read_config(path: Path) -> CoreConfig:
    """A CoreConfig from its JSON file. Raises CosignError."""
    return CoreConfig.from_json(read_json(path), str(path))


def generate(config: CoreConfig, folder: Path, padded: bool = False) -> list[Path]:
    """Write everything about one machine into `folder`; returns the paths.

    padded : the top's TDATA are as wide as powers of two of bytes
    """
    texts = verilog.generate(config) | verilog.generate_top(config, padded)
    texts |= {
        "registers.md": registers.markdown(config),
        "cosign_registers.h": registers.c_header(config),
        "config.json": json.dumps(config.to_json(), indent=2) + "\n",
    }
    return verilog.write_texts(texts, folder)
