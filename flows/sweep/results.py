"""What a sweep has found: its points by job with those that nothing beats, as JSON and a table."""

from collections.abc import Sequence
from typing import Any

from cosign.consoles import aligned
from flows.sweep.front import front
from flows.sweep.spec import AXES, Job, Spec
from flows.sweep.store import Row

SCHEMA = 1


def objectives_of(figures: dict[str, Any], sram: str) -> tuple[float, ...]:
    """Area in um2, delay in seconds, and energy in nJ if it was measured."""
    energy = figures["energy"]
    plain = (figures["area_um2"][sram], figures["delay_s"])
    return plain if energy is None else (*plain, energy["total_nj"])


def results(
    spec: Spec, jobs: Sequence[Job], rows: dict[str, Row], tools: dict[str, Any], sram: str
) -> dict[str, Any]:
    """What --json writes: for each job its points, `pareto` saying which nothing beats."""
    found = []
    for job in jobs:
        points = [(point, rows[h]) for h, point in spec.points(job).items() if h in rows]
        measured = [(p, row.figures) for p, row in points if row.figures is not None]
        best = set(front([objectives_of(figures, sram) for _, figures in measured]))
        found.append(
            {
                "layer": job.layer,
                "recipe": job.recipe,
                "portion": job.portion,
                "points": [
                    {"hash": p.hash, "core": p.core, "pareto": n in best, **figures}
                    for n, (p, figures) in enumerate(measured)
                ],
                "refused": [
                    {"hash": p.hash, "core": p.core, "reason": row.refused}
                    for p, row in points
                    if row.refused is not None
                ],
            }
        )
    return {
        "schema": SCHEMA,
        "spec": spec.to_json(),
        "sram_model": sram,
        "objectives": ["area_um2", "delay_s", *(["energy_nj"] if spec.energy else [])],
        "jobs": found,
        "tools": tools,
    }


def table(content: dict[str, Any]) -> str:
    """The Pareto fronts for a terminal, cores by area."""
    sram = content["sram_model"]
    varied = [
        axis
        for axis in AXES
        if len({v for table in content["spec"]["cores"] for v in table.get(axis, [])}) > 1
        and axis not in ("core", "lanes", "filters", "coding")  # which are in the core's name
    ]
    energy = content["spec"]["energy"]
    head = ["layer", "recipe", "core", *varied, f"mm2 ({sram})", "MHz", "cycles", "us"]
    rows = [[*head, *(["nJ"] if energy else [])]]
    for job in content["jobs"]:
        best = [point for point in job["points"] if point["pareto"]]
        for point in sorted(best, key=lambda point: point["area_um2"][sram]):
            row = [job["layer"], job["recipe"], point["name"]]
            row += [str(point["core"].get(axis, "-")) for axis in varied]
            row += [
                f"{point['area_um2'][sram] / 1e6:.3f}",
                f"{point['fmax_hz'] / 1e6:,.0f}",
                f"{point['cycles']:,}",
                f"{point['delay_s'] * 1e6:,.2f}",
            ]
            rows.append([*row, *([f"{point['energy']['total_nj']:,.0f}"] if energy else [])])
    measured = sum(len(job["points"]) for job in content["jobs"])
    return f"{aligned(rows)}\n{len(rows) - 1} of {measured} points are on a front"
