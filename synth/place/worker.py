"""Runs Coloquinte on the job in the folder it is started in: job.npz -> placed.npz.

A process of its own, started by synth.place.placer: a crash stays contained, and what the placer
prints goes to a log. Lengths are whole numbers of the placer's units.
"""

import itertools

import coloquinte
import numpy as np


def main() -> None:
    job = np.load("job.npz")
    count = len(job["widths"])
    # Cell 0 has no size: it stands at the origin and carries the pins of memories and ports.
    circuit = coloquinte.Circuit(count + 1)
    circuit.cell_width = [0, *job["widths"].tolist()]
    circuit.cell_height = [0] + [int(job["row"])] * count
    circuit.cell_is_fixed = [True] + [False] * count
    circuit.cell_is_obstruction = [False] + [True] * count
    start = job["x"].tolist(), job["y"].tolist()
    circuit.cell_x = [0, *start[0]]
    circuit.cell_y = [0, *start[1]]
    ways = {0: coloquinte.CellOrientation.N, 1: coloquinte.CellOrientation.FS}
    circuit.cell_orientation = [ways[0], *(ways[int(way)] for way in job["turned"])]
    circuit.cell_row_polarity = [coloquinte.CellRowPolarity.SAME] * (count + 1)
    circuit.rows = [
        coloquinte.Row(
            coloquinte.Rectangle(0, int(job["sites"]), y, y + int(job["row"])),
            ways[index % 2],
        )
        for index, y in enumerate(range(0, int(job["rows"]) * int(job["row"]), int(job["row"])))
    ]
    starts, owners = job["starts"].tolist(), (job["owners"] + 1).tolist()
    dx, dy, weights = job["dx"].tolist(), job["dy"].tolist(), job["weights"].tolist()
    for net, (first, last) in enumerate(itertools.pairwise(starts)):
        circuit.add_net(owners[first:last], dx[first:last], dy[first:last], weights[net])
    circuit.check()
    parameters = coloquinte.ColoquinteParameters(int(job["effort"]), int(job["seed"]))
    widths = circuit.cell_width
    for density in job["densities"].tolist():
        circuit.cell_width = widths
        if density:
            circuit.expand_cells_by_factor([1.0, *job["room"].tolist()], density)
            circuit.expand_cells_to_density(density, 0.0)
        if job["anew"]:
            circuit.place_global(parameters)
        try:
            circuit.legalize(parameters)
        except RuntimeError as error:  # rows are short for slots of these widths
            refusal = error
            continue
        break
    else:
        raise refusal
    circuit.place_detailed(parameters)
    slots = np.array(circuit.cell_width[1:], np.int64)
    np.savez(
        "placed.npz",
        x=np.array(circuit.cell_x[1:], np.int64),
        y=np.array(circuit.cell_y[1:], np.int64),
        slots=slots,
        ways=np.array([way.name for way in circuit.cell_orientation[1:]]),
        hpwl=circuit.hpwl(),
    )


if __name__ == "__main__":
    main()
