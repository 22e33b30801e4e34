"""From a finished training to the integers that the machine executes."""

from collections.abc import Callable

from compress.data.datasets import Dataset
from compress.model import activations
from compress.model.graph import CompressedModel
from compress.posttrain import integers
from compress.train.results import StageResult
from cosign import CosignError


def export(
    result: StageResult,
    dataset: Dataset,
    note: Callable[[str], None] = lambda _: None,
    act_bits: int = activations.MOST,
) -> CompressedModel:
    """The compressed model of a finished "quantize" stage.

    Activation scales are calibrated on some training images; `note` is as in `assemble`. Raises
    CosignError when the stage is another one or a scale is out of the machine's range.
    """
    if result.stage != "quantize":
        raise CosignError(f"stage {result.stage} leaves no levels; export the quantize stage.")
    return integers.from_dataset(
        result.network, result.levels, dataset, note=note, act_bits=act_bits
    )
