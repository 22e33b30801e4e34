"""The feedback from hardware to pruning (Fig. 5), round by round: a part of results.json."""

from cosign.values import Positive, Ratio, Share, Value


class Trial(Value, frozen=True, kw_only=True):
    """A network that a round of the feedback trained.

    Parameters
    ----------
    pruning_ratio : of the network
    accuracy : on the validation split
    taken : whether the round went on from it
    """

    pruning_ratio: Ratio
    accuracy: Share
    taken: bool


class State(Value, frozen=True, kw_only=True):
    """The network before the first round of the feedback.

    Parameters
    ----------
    ratios : pruning ratio by layer, 1 is dense
    pruning_ratio : of the network
    accuracy : on the validation split
    time_s : of one image by the cycle model under random masks of these ratios, with dense layers
        on the dense core; null when no sparse core is as small as it
    sparse_s : the same, all layers of the machine on the sparse core
    """

    ratios: dict[str, Ratio]
    pruning_ratio: Ratio
    accuracy: Share
    time_s: Positive | None
    sparse_s: Positive | None


class Round(Value, frozen=True, kw_only=True):
    """A round of the feedback, as it ended.

    Parameters
    ----------
    restored : layers made dense again, with the pruning ratio that was below their break-even
    gained : layers pruned further: ratio before and after
    trials : networks trained, the restored one first
    ratios, pruning_ratio, accuracy, time_s, sparse_s : as of the start
    why : the same in sentences
    """

    restored: dict[str, Ratio]
    gained: dict[str, tuple[Ratio, Ratio]]
    trials: tuple[Trial, ...]
    ratios: dict[str, Ratio]
    pruning_ratio: Ratio
    accuracy: Share
    time_s: Positive | None
    sparse_s: Positive | None
    why: tuple[str, ...]


class Feedback(Value, frozen=True, kw_only=True):
    """The loop of Fig. 5; all accuracies are on the validation split.

    Parameters
    ----------
    dense_accuracy : of the dense network
    bound : least accuracy at which weights may still be taken away
    break_even : ratio by layer of the machine, null when never
    start : before the first round
    rounds : one after another
    """

    dense_accuracy: Share
    bound: float
    break_even: dict[str, Ratio | None]
    start: State
    rounds: tuple[Round, ...]
