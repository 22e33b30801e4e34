"""The allocation of a run without training: what each layer keeps, and what else there was."""

from cosign.values import Amount, Count, Positive, Ratio, Share, Value


class Alternative(Value, frozen=True, kw_only=True):
    """A network that could be had.

    Parameters
    ----------
    pruning_ratio : of the network
    time_s : of one image by the cycle model under random masks, with dense layers on the dense
        core; null when no sparse core is as small as it
    file_bytes : of the file; estimated by entropy where `measured` is false
    expected_loss : sum of what the layers' curves expect
    measured : whether it was compressed, and its integers evaluated
    accuracy : on `images` of the validation split; null without labels, and where not measured
    error : root mean square change of the outputs over their root mean square, on `images`, the
        mean over outputs; null where not measured
    """

    pruning_ratio: Ratio
    time_s: Positive | None
    file_bytes: Count
    expected_loss: Amount
    measured: bool = False
    accuracy: Share | None = None
    error: Amount | None = None


class Allocation(Value, frozen=True, kw_only=True):
    """Densities by layer within a budget, and the trade-off around them.

    Parameters
    ----------
    budget : what was asked, as options of the command
    ratios : pruning ratio by layer, 1 is dense
    losses : what is expected of each layer: mean square change of the outputs over their variance
    break_even : ratio by layer of the machine, null when never
    images : that points are measured on, none of them calibrated on
    dense_accuracy : of the float network on them; null without labels
    dense_time_s : of one image, all layers on the dense core
    chosen : the network of this run
    points : others, by time, or by weights where no sparse core is as small as the dense one
    why : the choice in sentences
    """

    budget: str
    ratios: dict[str, Ratio]
    losses: dict[str, Amount]
    break_even: dict[str, Ratio | None]
    images: Count
    dense_accuracy: Share | None
    dense_time_s: Positive
    chosen: Alternative
    points: tuple[Alternative, ...]
    why: tuple[str, ...]
