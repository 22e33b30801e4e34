"""The highest clock of a mapped core: sizing for ever shorter periods until 1 % brackets it.

Sizing stops where its target is met, so the Fmax of a netlist sized for the config's clock is no
more than that clock. Here the same mapped and buffered netlist is sized again for shorter targets.
Mapping is not repeated: ABC maps for delay without a target, so its gates would be the same.
"""

import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from cosign import CosignError
from synth.liberty import Library
from synth.netlist import Netlist
from synth.sizing import close_timing
from synth.sta import Timer

RESOLUTION = 0.01
LEAP = 0.8  # of the best period, while no target was missed: far enough to miss the next one
TRIALS = 8


class OpenTimer(Protocol):
    """Starts OpenSTA on a netlist."""

    def __call__(self, netlist: Netlist, period_ns: float) -> Timer: ...


@dataclass(frozen=True)
class Trial:
    """The netlist sized for `target_ns`: the slack left (negative: missed), the area it took."""

    target_ns: float
    slack_ns: float
    logic_um2: float

    @property
    def achieved_ns(self) -> float:
        """The period at which the slack is zero."""
        return self.target_ns - self.slack_ns


@dataclass(frozen=True)
class FmaxSearch:
    """The fastest netlist found: its clock, its area (more than the report's), every trial.

    Between the longest target that was missed and the best period lies at most RESOLUTION, unless
    TRIALS ended the search.
    """

    fmax_hz: float
    logic_um2: float
    critical_path: str
    trials: tuple[Trial, ...]

    @classmethod
    def from_json(cls, value: Any) -> "FmaxSearch":
        """Raises CosignError when a field is missing or of another type."""
        try:
            trials = tuple(
                Trial(float(t["target_ns"]), float(t["slack_ns"]), float(t["logic_um2"]))
                for t in value["trials"]
            )
            fmax, area = float(value["fmax_hz"]), float(value["logic_um2"])
            return cls(fmax, area, str(value["critical_path"]), trials)
        except (KeyError, TypeError, ValueError) as error:
            raise CosignError(f"an Fmax search is damaged ({error}); synthesise again.") from error


def next_target(trials: list[Trial]) -> float | None:
    """The period to size for next, ns; None when the best period is bracketed to RESOLUTION."""
    best = min(trial.achieved_ns for trial in trials)
    missed = [trial.target_ns for trial in trials if trial.slack_ns < 0]
    if not missed:
        return LEAP * best
    # What was missed from afar may be met from near: sizing follows the worst path of the moment.
    target = (1 - RESOLUTION) * best
    return target if max((t for t in missed if t < best), default=0.0) < target else None


def search(
    netlist: Netlist, library: Library, open_timer: OpenTimer, first: Trial
) -> tuple[Netlist, list[Trial]]:
    """Size copies of `netlist`, which `first` tells of, for shorter periods.

    Returns the fastest netlist and all trials.
    """
    fastest, trials = netlist, [first]
    while len(trials) < TRIALS and (target := next_target(trials)) is not None:
        trial_netlist = copy.deepcopy(netlist)
        slack = close_timing(trial_netlist, library, partial(open_timer, period_ns=target))
        trial = Trial(target, slack, area_um2(trial_netlist, library))
        if trial.achieved_ns < min(t.achieved_ns for t in trials):
            fastest = trial_netlist
        trials.append(trial)
    return fastest, trials


def area_um2(netlist: Netlist, library: Library) -> float:
    """Library cells only; memory macros are not logic."""
    known = (library.cells.get(cell.kind) for cell in netlist.cells.values())
    return sum(cell.area_um2 for cell in known if cell is not None)
