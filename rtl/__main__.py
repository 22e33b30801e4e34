"""`python -m rtl generate`: Verilog, register map and configuration of one machine."""

import argparse
import json
import sys
from pathlib import Path

from cosign import exit_status, read_json, write_json
from rtl import verilog
from rtl.config import CoreConfig
from rtl.options import add_options, config_of
from rtl.soc import registers


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m rtl", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    generate = commands.add_parser("generate", help="write a core and its SoC top")
    add_options(generate)
    generate.add_argument("--config", type=Path, help="CoreConfig JSON in place of the options")
    generate.add_argument("--out", type=Path, required=True, help="folder for the files")
    generate.add_argument("--json", type=Path, help="write config, hash and file names as JSON")
    return top


def read_config(path: Path) -> CoreConfig:
    """A CoreConfig from its JSON file. Raises CosignError."""
    return CoreConfig.from_json(read_json(path), str(path))


def generate(config: CoreConfig, folder: Path) -> list[Path]:
    """Write everything about one machine into `folder`; returns the paths."""
    texts = verilog.generate(config) | verilog.generate_top(config)
    texts |= {
        "registers.md": registers.markdown(config),
        "cosign_registers.h": registers.c_header(config),
        "config.json": json.dumps(config.to_json(), indent=2) + "\n",
    }
    return verilog.write_texts(texts, folder)


def _run(arguments: argparse.Namespace) -> int:
    config = read_config(arguments.config) if arguments.config else config_of(arguments)
    paths = generate(config, arguments.out)
    if arguments.json is not None:
        files = [path.name for path in paths]
        write_json(
            arguments.json, {"config": config.to_json(), "hash": config.hash, "files": files}
        )
    print(f"{config.core} core of {config.multipliers} multipliers, config {config.hash}")
    for path in paths:
        print(f"  {path}")
    return 0


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return exit_status(lambda: _run(arguments))


if __name__ == "__main__":
    sys.exit(main())
