"""A sweep of three small cores over two recipes, for tests."""

from typing import Any

from flows.sweep import parse
from flows.sweep.spec import Point, Spec

JOB = {"network": "lenet5", "layers": "conv1", "portion": "0.5,0.9"}
SMALL = {"weight_bits": 2, "acc_bits": 16, "mul_bits": 8, "drain": 1, "pipeline": 0, "clock_ns": 2}
CORES = [{"core": "sparse", "lanes": 1}, {"core": "dense-scalar", "lanes": "1,2"}]


def sweep_of(**values: Any) -> Spec:
    return parse.make({**JOB, "cores": [{**SMALL, **core} for core in CORES], **values})


def points_of(asked: Spec) -> dict[str, Point]:
    return {h: point for job in asked.jobs() for h, point in asked.points(job).items()}
