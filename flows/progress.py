"""Progress of a run on the terminal: one line per stage, with what is left to wait."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

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


class Reporter:
    """Shows stages. Without a terminal it prints a line when a stage moves on by a tenth.

    `show` has the signature that every room's `report` callback wants. What is left to wait is
    estimated from the last `window_s` seconds.
    """

    def __init__(self, console: Console, quiet: bool = False, window_s: float = 30) -> None:
        self.console = console
        self.quiet = quiet
        self._live = console.is_terminal and not quiet
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:g}/{task.total:g}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}", style="dim"),
            console=console,
            speed_estimate_period=window_s,
        )
        self._tasks: dict[str, TaskID] = {}
        self._tenths: dict[str, int] = {}

    @contextmanager
    def running(self) -> Iterator["Reporter"]:
        if not self._live:
            yield self
            return
        with self._bars:
            yield self

    def show(
        self, stage: str, step: float, steps: float, metrics: dict[str, float] | None = None
    ) -> None:
        """`stage` has done `step` of `steps`; `metrics` are shown beside the bar."""
        text = "  ".join(f"{name} {value:.4g}" for name, value in (metrics or {}).items())
        if self._live:
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(
                    stage, total=steps, completed=int(step), metrics=text
                )
            self._bars.update(self._tasks[stage], completed=step, total=steps, metrics=text)
        elif not self.quiet:
            tenth = int(10 * step / max(steps, 1))
            if tenth != self._tenths.get(stage):
                self._tenths[stage] = tenth
                print(f"{stage:<12} {step:g}/{steps:g}  {text}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """One line that stays."""
        if not self.quiet:
            self.console.print(text, highlight=False)
