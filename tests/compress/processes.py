"""The toy task trained by one process or by those that torchrun started, in float64.

processes.py FOLDER: runs all stages in FOLDER; every process leaves there `rank-N.json` with
SHA-256 of Z, U and weights after each ADMM iteration. In float64, since Adam and the roundings of
quantisation blow up float32's noise: what then differs still, differs in more than summation order.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
import toy

from compress.train import distributed, regimes, stages, trainer


class Watched(regimes.AdmmRegime):
    """Notes its state at every iteration."""

    states: list[str] = []  # noqa: RUF012  # of all regimes of this process

    def point(self, rho: float | None) -> dict[str, Any]:
        residuals = super().point(rho)
        digest = hashlib.sha256()
        for tensors in (self.admm.z, self.admm.u, self.network.weights):
            for tensor in tensors.values():
                digest.update(tensor.detach().contiguous().numpy().tobytes())
        self.states.append(digest.hexdigest())
        return residuals


def main(folder: Path) -> None:
    torch.set_default_dtype(torch.float64)
    trainer.AdmmRegime = Watched
    dataset = toy.dataset()
    with distributed.joined():
        for stage in stages.STAGES:
            stages.run_stage(stage, toy.recipe(checkpoint_s=0.0), dataset, folder / "stages", 0)
        written = json.dumps({"world": distributed.world(), "states": Watched.states})
        (folder / f"rank-{distributed.rank()}.json").write_text(written)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
