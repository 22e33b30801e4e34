"""The phases of every stage, and what each does to the weights beside training them."""

from typing import Literal, NamedTuple

from compress.zoo.recipe import Phase, Recipe


class Part(NamedTuple):
    """A phase of a stage.

    Parameters
    ----------
    work : "train" all weights that are left, no more; "prune" draws them towards alpha_i non-zeros,
        by ADMM or what that is compared with, and ends in the cut; "quantize" draws them towards
        levels by ADMM; "settle" puts them on levels and trains biases and q
    phase : how long and how fast
    """

    work: Literal["train", "prune", "quantize", "settle"]
    phase: Phase


def parts(stage: str, recipe: Recipe) -> tuple[Part, ...]:
    """What a stage goes through, in order; of `allocate`, what each of its trials does."""
    return {
        "dense": (Part("train", recipe.dense),),
        "prune": (Part("prune", recipe.prune),),
        "retrain": (Part("train", recipe.retrain),),
        "allocate": (Part("train", recipe.allocate),),
        "quantize": (Part("quantize", recipe.quantize), Part("settle", recipe.settle)),
    }[stage]
