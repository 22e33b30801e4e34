"""Curves of loss over density, as values: what `compress.posttrain.curves` measures. No torch."""

import itertools

import numpy as np

from cosign.values import Amount, Count, Value

PORTIONS = tuple(
    p / 1000 for p in (100, 200, 300, 400, 500, 600, 700, 750, 800, 850, 900, 950, 975)
)
"""Shares of a layer's weights that are pruned, at which its curve is measured."""
SENSED = (0.5, 0.8)
"""Those at which what the network answers is measured, too."""
FINER = 8
"""Options between two portions of the curve."""
OFFERED = (
    0.0,
    *(
        round(a + (b - a) * step / FINER, 6)
        for a, b in itertools.pairwise(PORTIONS)
        for step in range(FINER)
    ),
    PORTIONS[-1],
)
"""Portions pruned that an allocation chooses from: none, those of the curve, and some between."""
_BYTES_PER_FILTER = 2.0  # of biases, about
_UNFELT = 1e-9  # loss of a layer's whole error, where the outputs did not feel it


class Curve(Value, frozen=True, kw_only=True):
    """What pruning one layer costs.

    Parameters
    ----------
    weights, nonzeros, filters : of the layer as it came
    errors : at each of PORTIONS, square error of the layer's answers over their square
    sensed : at each of SENSED, mean square change of the network's outputs over their variance,
        when this layer alone is pruned
    entropies : at each of PORTIONS, bits of a level
    """

    weights: Count
    nonzeros: Count
    filters: Count
    errors: tuple[Amount, ...]
    sensed: tuple[Amount, ...]
    entropies: tuple[Amount, ...]

    @property
    def keep(self) -> np.ndarray:
        """Weights that stay at each of OFFERED, int64; zeros were there before."""
        return np.array([self.kept(portion) for portion in OFFERED])

    def kept(self, portion: float) -> int:
        return min(self.nonzeros, max(1, self.weights - round(portion * self.weights)))

    @property
    def losses(self) -> np.ndarray:
        """Change of the outputs that is expected at each of OFFERED, float64; none of no pruning.

        The curve of errors, brought to what was sensed where that was measured; between two such
        places, and between two portions, logarithms are interpolated.
        """
        errors = np.maximum.accumulate(np.maximum(self.errors, 1e-12))
        known = [
            (errors[PORTIONS.index(portion)], sensed)
            for portion, sensed in zip(SENSED, self.sensed, strict=True)
            if sensed > 0 and self.kept(portion) < self.nonzeros
        ]
        if known:
            at, factors = zip(*((np.log(e), np.log(s / e)) for e, s in known), strict=True)
            factor = np.exp(np.interp(np.log(errors), at, factors))
        else:
            factor = np.full(len(errors), _UNFELT)
        logs = np.log(np.maximum.accumulate(errors * factor))
        losses = np.exp(np.interp(OFFERED, PORTIONS, logs))
        losses[self.keep == self.nonzeros] = 0.0
        return losses

    @property
    def bytes(self) -> np.ndarray:
        """Of the layer in the file at each of OFFERED, float64: entropy of levels and places."""
        keep = self.keep
        density = keep / self.weights
        places = np.zeros(len(keep))
        some = (density > 0) & (density < 1)
        p = density[some]
        places[some] = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
        levels = np.interp(OFFERED, PORTIONS, self.entropies)
        return (keep * levels + self.weights * places) / 8 + _BYTES_PER_FILTER * self.filters


class Curves(Value, frozen=True, kw_only=True):
    """The curves of a network, by layer."""

    layers: dict[str, Curve]
