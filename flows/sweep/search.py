"""Which points come next: all of a grid, or those that Optuna suggests."""

import random
from collections.abc import Iterable, Sequence
from typing import Protocol

import optuna

from flows.sweep.spec import Job, Point, Setting, Spec

Objectives = tuple[float, ...]
"""Area, delay, and energy if it is measured; less is better."""


class Search(Protocol):
    total: int

    def take(self, room: int) -> list[Point]:
        """Points to measure now; a study gives `room` at most."""

    def tell(self, point: Point, objectives: Objectives | None) -> None:
        """What a point came to; None of one that was refused or failed."""


class Grid:
    """All points. Of those with the same core one goes first; the others find its netlist made."""

    def __init__(self, points: Iterable[Point], done: set[str]) -> None:
        every = list(points)
        self.total = len(every)
        self._ready: list[Point] = []
        self._waiting: dict[str, list[Point]] = {}
        for point in every:
            if point.hash in done:
                continue
            if point.core_key in self._waiting:
                self._waiting[point.core_key].append(point)
            else:
                self._waiting[point.core_key] = []
                self._ready.append(point)

    def take(self, room: int) -> list[Point]:
        """All that need not wait: a cluster sees how much there is to do."""
        ready, self._ready = self._ready, []
        return ready

    def tell(self, point: Point, objectives: Objectives | None) -> None:
        self._ready += self._waiting.pop(point.core_key, [])


class Studies:
    """An Optuna study (TPE, several objectives) for each job, `spec.optuna` points in each.

    What is `known` is told to the studies first, so that a resumed one goes on where it was.
    """

    def __init__(
        self, spec: Spec, jobs: Sequence[Job], known: dict[str, Objectives | None]
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._studies = [_Study(spec, job, known) for job in jobs]
        self._of: dict[str, _Study] = {}
        self.total = sum(study.size for study in self._studies)

    def take(self, room: int) -> list[Point]:
        found: list[Point] = []
        waiting = [study for study in self._studies if study.left]
        while waiting and len(found) < room:
            study = waiting[0]
            found.append(study.ask())
            self._of[found[-1].hash] = study
            waiting = [*waiting[1:], study] if study.left else waiting[1:]
        return found

    def tell(self, point: Point, objectives: Objectives | None) -> None:
        self._of.pop(point.hash).tell(point, objectives)


class _Study:
    def __init__(self, spec: Spec, job: Job, known: dict[str, Objectives | None]) -> None:
        self._spec, self._job = spec, job
        self._study = optuna.create_study(
            directions=["minimize"] * (3 if spec.energy else 2),
            sampler=optuna.samplers.TPESampler(seed=spec.seed),
        )
        self._trials: dict[str, optuna.Trial] = {}
        self._random = random.Random(spec.seed)
        self._fresh = spec.points(job)
        self.size = min(spec.optuna, len(self._fresh))
        past = {key: value for key, value in known.items() if key in self._fresh}
        self.left = max(0, self.size - len(past))
        for key, objectives in past.items():
            point = self._choose(self._fresh[key])
            self.tell(point, objectives)

    def ask(self) -> Point:
        """A point that was not asked for before."""
        self.left -= 1
        trial = self._study.ask()
        point = self._suggested(trial)
        if point.hash in self._fresh:
            self._begin(point, trial)
            return point
        self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return self._choose(self._fresh[self._random.choice(list(self._fresh))])

    def tell(self, point: Point, objectives: Objectives | None) -> None:
        failed = optuna.trial.TrialState.FAIL if objectives is None else None
        self._study.tell(self._trials.pop(point.hash), objectives, state=failed)

    def _choose(self, point: Point) -> Point:
        """Ask for this very point."""
        self._study.enqueue_trial(self._parameters(point))
        self._begin(point, trial := self._study.ask())
        assert self._suggested(trial).hash == point.hash
        return point

    def _begin(self, point: Point, trial: optuna.Trial) -> None:
        del self._fresh[point.hash]
        self._trials[point.hash] = trial

    def _suggested(self, trial: optuna.Trial) -> Point:
        """Numbers are suggested by their place among the values, so that neighbours are near."""
        tables = self._spec.cores
        number = trial.suggest_categorical("table", range(len(tables)))
        core: dict[str, Setting] = {}
        for axis, values in tables[number].items():
            name = f"{number}.{axis}"
            if isinstance(values[0], str):
                core[axis] = str(trial.suggest_categorical(name, values))
            else:
                core[axis] = values[trial.suggest_int(name, 0, len(values) - 1)]
        return self._spec.point(self._job, core)

    def _parameters(self, point: Point) -> dict[str, Setting]:
        """What makes `_suggested` return `point`."""
        for number, table in enumerate(self._spec.cores):
            # An axis that the point's kind of core ignores may take any value.
            core = {axis: point.core.get(axis, values[0]) for axis, values in table.items()}
            inside = all(core[axis] in values for axis, values in table.items())
            if inside and self._spec.point(self._job, core) == point:
                places = {
                    f"{number}.{axis}": core[axis]
                    if isinstance(values[0], str)
                    else values.index(core[axis])
                    for axis, values in table.items()
                }
                return {"table": number, **places}
        raise AssertionError("a point lies in none of the tables it was made from")
