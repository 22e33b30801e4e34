"""The main job: `python flows/run_cosign.py lenet5` is `cosign run lenet5`."""

import sys
from pathlib import Path

if __name__ == "__main__":  # run from a checkout: the rooms lie beside flows/
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

    from flows.__main__ import main

    sys.exit(main(["run", *sys.argv[1:]]))
