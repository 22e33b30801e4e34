"""Schedules: how long and how far `run` takes LeNet-5."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Everything that the result depends on, next to the data and the seed.

    Parameters
    ----------
    teacher_epochs, teacher_lr : of AdamW with cosine decay, batches of 128
    copies : of each training image in the samples, the first unmoved
    share, temperature : of the teacher in the loss
    widths : filters and neurons of the small dense network
    dense_epochs : of its training
    batch : of all training but the teacher's
    lr : of the dense network and the coarse rounds; it falls to a tenth within each
    coarse : density kept per round while more than `surgery` weights are left, and epochs after it
    fine, fine_lr : the same below; and of the cycles and the anneal
    targets : non-zeros to reach, falling
    cycles, growth : cycles at each target, and the share of the target that grows in each
    cycle_epochs : after growing, and after pruning again
    anneal_epochs : at a target, the rate falling to zero
    bits : n by layer, for each target
    levels : shares of the weights that are levels after each rounding
    rounding_epochs : after each
    rounding_lr : after each
    """

    teacher_epochs: int = 16
    teacher_lr: float = 1.5e-3
    copies: int = 4
    share: float = 0.9
    temperature: float = 4.0
    widths: tuple[int, int, int] = (7, 16, 40)
    dense_epochs: float = 7
    batch: int = 128
    lr: float = 2e-3
    surgery: int = 2800
    coarse: tuple[float, float] = (0.85, 1)
    fine: tuple[float, float] = (0.95, 5)
    fine_lr: float = 8e-3
    targets: tuple[int, ...] = (1236, 890)
    cycles: int = 24
    growth: float = 0.6
    cycle_epochs: tuple[float, float] = (3, 3)
    anneal_epochs: float = 15
    bits: tuple[tuple[int, int, int, int], ...] = ((5, 5, 5, 5), (4, 4, 4, 4))
    levels: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    rounding_epochs: float = 4
    rounding_lr: float = 3e-3


SCHEDULES = {
    "lenet5-1236": Schedule(widths=(8, 20, 50), targets=(1236,), bits=((5, 5, 5, 5),)),
    "lenet5-890": Schedule(),
    # Seconds, for tests: all steps, no accuracy.
    "tiny": Schedule(
        teacher_epochs=1,
        copies=2,
        dense_epochs=1,
        surgery=1500,
        coarse=(0.4, 1),
        fine=(0.7, 1),
        targets=(900, 600),
        bits=((5, 4, 3, 3), (4, 3, 2, 3)),
        cycles=1,
        cycle_epochs=(1, 1),
        anneal_epochs=1,
        levels=(0.5, 1.0),
        rounding_epochs=1,
    ),
}
