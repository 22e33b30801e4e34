"""How far a synthesis is."""

from collections.abc import Callable

from synth import fmax
from synth.netlist import Netlist
from synth.sta import Timer

Report = Callable[[str, float, float], None]
"""Gets "synthesize" or "place", what is done of the work, and all of it."""

_WORK = {"Verilog": 12, "mapping": 50, "sizing": 18, "area": 8, "timing": 8, "blocks": 2}
"""Steps of a synthesis in hundredths of its time, about: what is shown of it goes by them."""
_SEARCH = 40
"""The same of a trial of the highest clock."""


class Steps:
    """Tells how far a synthesis is, in hundredths of one without a search.

    search : whether the highest clock is searched
    """

    def __init__(self, progress: Report, search: bool) -> None:
        self.search = search
        self._progress = progress
        self._all = sum(_WORK.values()) + search * fmax.TRIALS * _SEARCH
        self._done = 0

    def done(self, step: str) -> None:
        self._add(_WORK[step])

    def end(self) -> None:
        """A search may have had fewer trials than it is allowed."""
        self._add(self._all - self._done)

    def trials(self, open_timer: fmax.OpenTimer) -> fmax.OpenTimer:
        """The same, counting trials as they begin."""

        def opened(netlist: Netlist, period_ns: float) -> Timer:
            self._add(_SEARCH)
            return open_timer(netlist, period_ns)

        return opened

    def _add(self, work: int) -> None:
        self._done += work
        self._progress("synthesize", self._done, self._all)
