"""Progress of a run on the terminal: one line per stage, with what is left to wait."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

_TOLD_S = 10  # what is left to wait, if it is more
_NARROW = 100  # columns of a terminal, below which the bar is short and numbers are cut
_BAR = {False: 30, True: 12}
_BESIDE = 60  # columns that are not the bar's or the numbers'
_SPEED_OVER_S = 600  # a step of synthesis takes a minute; rich would forget the one before
_RESIDUALS = {"primal": "|W-Z|", "dual": "|Z-Zprev|"}


def _numbers(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Each with its name; of values by layer the root of their sum of squares."""
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield f"{_RESIDUALS.get(name, name)} {math.hypot(*value.values()):.4g}"
        elif isinstance(value, float):
            yield f"{name} {value:.4g}"
        elif name == "kept":
            yield f"{name} {value:,}"


class Reporter:
    """Shows stages. Without a terminal it prints a line when a stage moves on by a tenth.

    `show` has the signature that every room's `report` callback wants.
    """

    def __init__(
        self, console: Console, quiet: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.console = console
        self.quiet = quiet
        self._clock = clock
        self._live = console.is_terminal and not quiet
        bar = _BAR[console.width < _NARROW]
        self._room = max(0, console.width - _BESIDE - bar)
        self._bars = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=bar),
            TextColumn("{task.fields[count]:>13}"),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            TextColumn("left"),
            TimeRemainingColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[metrics]}", style="dim"),
            console=console,
            speed_estimate_period=_SPEED_OVER_S,
        )
        self._tasks: dict[str, TaskID] = {}
        self._tenths: dict[str, int] = {}
        self._began: dict[str, tuple[float, float]] = {}

    @contextmanager
    def running(self) -> Iterator["Reporter"]:
        if not self._live:
            yield self
            return
        with self._bars:
            yield self

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Show from the start that `name` is at work, and at the end how long it took."""
        start = self._clock()
        if self._live:
            self._task(name)
        yield
        if self._live:
            total = self._bars.tasks[self._tasks[name]].total or 1
            self._bars.update(self._tasks[name], completed=total, total=total)
        elif not self.quiet:
            self._line(f"{name:<12} done in {self._clock() - start:.1f} s")

    def show(
        self, stage: str, step: float, steps: float, metrics: Mapping[str, Any] | None = None
    ) -> None:
        """`stage` has done `step` of `steps`; numbers in `metrics` are shown beside the bar.

        Those of a training stage's history point, an ADMM iteration among them, stay.
        """
        text = "  ".join(_numbers(metrics or {}))
        count = f"{step:g}/{steps:g}"
        line = f"{stage:<12} {count}  {text}"
        point = "accuracy" in (metrics or {})
        if self._live:
            task = self._task(stage)
            shown = text[: self._room]
            self._bars.update(task, completed=step, total=steps, count=count, metrics=shown)
            if point:
                self._bars.console.print(line, highlight=False)
        elif not self.quiet:
            tenth = int(10 * step / max(steps, 1))
            left = self._left(stage, step, steps)
            if point or tenth != self._tenths.get(stage):
                self._line(f"{line}  {left}")
            self._tenths[stage] = tenth

    def _left(self, stage: str, step: float, steps: float) -> str:
        """What is left to wait, in words, by the pace since the stage was first shown."""
        now = self._clock()
        first, began = self._began.setdefault(stage, (step, now))
        if step <= first:
            return ""
        left = (now - began) * (steps - step) / (step - first)
        if left < _TOLD_S:
            return ""
        return f"about {left:.0f} s left" if left < 120 else f"about {left / 60:,.0f} min left"

    def note(self, text: str) -> None:
        """One line that stays."""
        if not self.quiet:
            self.console.print(text, highlight=False, markup=False)

    def _task(self, stage: str) -> TaskID:
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=None, count="", metrics="")
        return self._tasks[stage]

    def _line(self, text: str) -> None:
        print(text.rstrip(), file=sys.stderr, flush=True)
