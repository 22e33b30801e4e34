"""A run directory: what was asked, which stages are finished, what each one found.

`config.json` is written once and never changes. Every finished stage leaves
`stages/<name>.json` with its result and wall time; a stage without that file is run again,
and picks up its own checkpoints. A run that was killed at any moment therefore continues
to the same result.
"""

import contextlib
import dataclasses
import itertools
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from compress.zoo.networks import entry_of, is_foreign
from compress.zoo.recipe import ACCURACY_LOSS, ROUNDS
from cosign import CosignError, locked, read_json, values, write_json
from cosign.files import LOCK, is_full, reason
from cosign.values import Amount, Count, Positive, Ratio, Share, Value
from rtl.coreset import CoreSet
from synth.place.options import Placement

SCHEMA = 5
READ = (2, 3, 4, SCHEMA)
_CONFIG = "config.json"
_OF_EACH = (_CONFIG, LOCK, "tensorboard", "mlruns", "wandb")
"""What a run's folder has before anything was found."""


AtLeastOne = Annotated[int, Meta(ge=1)]
Points = Annotated[float, Meta(ge=0, le=100)]
Method = Literal["admm", "oneshot"]


@dataclass(frozen=True)
class RunConfig:
    """Everything a run's result depends on.

    Parameters
    ----------
    network : name of a built-in network, an ONNX file, or package.module:factory
    weights : file that a built-in network has its weights from, "imagenet", or "imagenet-conv", all
        but the classifier; None trains it here
    outputs : of a network of one's own, where not all of its file; values inside it too
    data : None (the network's own default), a folder, or a named set
    classes : folders of an image folder in the order of outputs, where it is not sorted as text
    alpha : preset of layer-wise densities, a JSON file or a ratio; None for the recipe's default
    pattern : instead of alpha, N:M of all layers, or a JSON file of layers
    targets : pruning ratios that the prune stage goes through; None for the recipe's
    distill : share of the dense network's answers in the loss, 0..1; None for the recipe's
    bits : of every level, 1..8; "auto" chooses by layer; None for the recipe's
    act_bits : of every activation, which the cores have, too; 4..8
    budget : factor on the number of training steps (dimensionless)
    rate : factor on the learning rates
    seed : of data order, initialisation and masks
    images : images of which the RTL executes the convolutions
    batch : images that linear layers compute together, in whole batches on the RTL too
    liberty : files of the cell library (older runs: one, as text), None for NanGate 45 nm
    digest : of a network that comes with weights, SHA-256 over structure and weights
    mean, std : by channel, of pixels scaled to 0..1, what such a network reads; None for the data's
    accuracy_loss : validation accuracy that the feedback may cost, 0..1
    rounds : rounds of the feedback that may take weights away
    cores : that are synthesised, compared and execute the network
    area_um2 : that a core may have, dense or sparse; None where the dense core's area is the limit
    method : admm trains; oneshot prunes on calibration images alone, and `alpha` is a ratio
    speedup : of a oneshot run, time on the dense chip over that on the sparse one, at least
    size : of a oneshot run, bytes of the file at most
    loss : of a oneshot run, points of accuracy below the dense network at most
    finetune : of a oneshot run, minutes in which the chosen network learns without labels
    place : how cores are placed, whose areas and clocks count then; None counts mapped ones
    """

    network: str
    weights: str | None = None
    outputs: list[str] | None = None
    data: str | None = None
    classes: list[str] | None = None
    alpha: str | None = None
    pattern: str | None = None
    targets: AtLeastOne | None = None
    distill: Share | None = None
    bits: Annotated[int, Meta(ge=1, le=8)] | Literal["auto"] | None = None
    budget: Positive = 1.0
    rate: Positive = 1.0
    seed: Count = 0
    images: AtLeastOne = 16
    batch: AtLeastOne = 16
    liberty: list[str] | str | None = None
    digest: str = ""
    mean: list[float] | None = None
    std: list[float] | None = None
    accuracy_loss: Share = ACCURACY_LOSS
    rounds: Count = ROUNDS
    cores: CoreSet = field(default_factory=CoreSet)
    area_um2: Positive | None = None
    method: Method = "admm"
    speedup: Ratio | None = None
    size: AtLeastOne | None = None
    loss: Points | None = None
    finetune: Positive | None = None
    place: Placement | None = field(default=None, metadata=values.LATER)
    act_bits: Annotated[int, Meta(ge=4, le=8)] = field(default=8, metadata=values.LATER)

    @property
    def liberty_files(self) -> tuple[Path, ...]:
        """None of them for NanGate 45."""
        named = [self.liberty] if isinstance(self.liberty, str) else self.liberty or ()
        return tuple(map(Path, named))

    @property
    def learns_classifier(self) -> bool:
        """Whether the network begins with trained layers, all but its classifier."""
        return not is_foreign(self.network) and entry_of(self.network).features is not None


class RunDir:
    """One run's folder. Open it with `begun` or `resume`."""

    def __init__(self, path: Path, config: RunConfig) -> None:
        self.path = path
        self.config = config

    @classmethod
    def create(cls, path: Path, config: RunConfig) -> "RunDir":
        """Start a run. Raises CosignError as `check_free` does."""
        cls.check_free(path)
        write_json(path / _CONFIG, values.stamped(config, SCHEMA))
        return cls(path, config)

    @staticmethod
    def check_free(path: Path) -> None:
        """Raises CosignError when `path` already holds something."""
        if _is_empty(path):
            return
        go_on = "choose another --out"
        if (path / _CONFIG).is_file():
            go_on = f"continue it with --resume {path} or {go_on}"
        raise CosignError(f"{path} is not empty; {go_on}.")

    @classmethod
    @contextlib.contextmanager
    def begun(cls, path: Path, config: RunConfig, numbered: bool = False) -> Iterator["RunDir"]:
        """Start a run, and hold it within the block.

        numbered : whether the first folder of path-0, path-1, ... is taken that nobody has

        One that fails before it has found anything leaves no folder behind, unless a disk was full.
        Raises CosignError as `create` does, and while another process holds it.
        """
        there = {folder for folder in (path, *path.parents) if folder.exists()}
        if numbered:
            there.discard(path)
            path = _numbered(path)
        run = None
        try:
            cls.check_free(path)
            with locked(path):
                run = cls.create(path, config)
                yield run
        except Exception as error:
            if run is not None and not run._found() and not is_full(error):
                shutil.rmtree(path, ignore_errors=True)
                if path in there:
                    path.mkdir(exist_ok=True)
                _remove_empty(folder for folder in path.parents if folder not in there)
            raise

    def _found(self) -> bool:
        """Whether the folder has more than each has from the start."""
        return any(file.name not in _OF_EACH for file in self.path.iterdir())

    @classmethod
    def resume(cls, path: Path) -> "RunDir":
        """Open a run. Raises CosignError when it is none, or one of another schema."""
        if not (path / _CONFIG).is_file():
            raise CosignError(f"{path} is not a run directory: it has no config.json.")
        file = path / _CONFIG
        content = read_json(file)
        if isinstance(content, dict) and content.get("schema") == 2:  # all had the default cores
            content = {"cores": dataclasses.asdict(CoreSet()), **content}
        if isinstance(content, dict):  # older ones had no choice of these
            newer = {"method": "admm", "speedup": None, "size": None, "loss": None}
            newer |= {"outputs": None, "classes": None, "finetune": None, "pattern": None}
            content = {**newer, **content}
            if content.get("schema") != SCHEMA:  # a batch were all images that the RTL executed
                content = {"batch": content.get("images"), "area_um2": None, **content}
        return cls(path, values.parse(content, RunConfig, str(file), "start a new run", READ))

    @contextlib.contextmanager
    def held(self) -> Iterator["RunDir"]:
        """Hold the run within the block; raises CosignError while another process does."""
        with locked(self.path):
            yield self

    def result(self, stage: str) -> Any | None:
        """What a finished stage returned, or None."""
        file = self._file(stage)
        return _read(file).result if file.exists() else None

    def forget(self, stage: str, reused: str) -> None:
        """Make `stage` unfinished, and delete what matches the pattern `reused` in the run."""
        self._file(stage).unlink(missing_ok=True)
        for path in self.path.glob(reused):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def wall_s(self) -> dict[str, float]:
        """Seconds of each finished stage, in the process that finished it."""
        files = (self.path / "stages").glob("*.json")
        return {file.stem: _read(file).wall_s for file in files}

    def run(self, stage: str, work: Callable[[], Any]) -> Any:
        """The stage's result as JSON, doing `work` (which returns what is) only if it has none."""
        done = self.result(stage)
        if done is not None:
            return done
        start = time.monotonic()
        result = work()
        wall_s = round(time.monotonic() - start, 3)
        write_json(self._file(stage), _Stage(result=result, wall_s=wall_s))
        return self.result(stage)

    def _file(self, stage: str) -> Path:
        return self.path / "stages" / f"{stage}.json"


def _is_empty(path: Path) -> bool:
    """Whether a run can begin there."""
    if not path.exists():
        return True
    return path.is_dir() and all(file.name == LOCK for file in path.iterdir())


def _numbered(path: Path) -> Path:
    """A new folder, whoever else is looking for one."""
    for number in itertools.count():
        found = path.with_name(f"{path.name}-{number}")
        try:
            found.mkdir(parents=True)
            return found
        except FileExistsError:
            continue
        except OSError as error:
            raise CosignError(
                f"cannot write {found}: {reason(error)}; choose another folder by --out."
            ) from error
    raise AssertionError


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


class _Stage(Value, frozen=True, kw_only=True):
    """What a finished stage leaves: its result, and its seconds in the process that finished it."""

    result: Any
    wall_s: Amount


def _read(file: Path) -> _Stage:
    return values.parse(read_json(file), _Stage, str(file), "delete it and run again")
