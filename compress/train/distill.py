"""Learning from the dense network (Hinton, Vinyals & Dean 2015, "Distilling the knowledge").

The loss becomes (1 - share) CE(z, label) + share T^2 KL(softmax(t / T) || softmax(z / T)), with
z the network's logits and t the dense network's on the same images. T^2 keeps the size of the
second term's gradients while T changes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from compress.nn.network import Network


@dataclass(frozen=True)
class Loss:
    """Mean over a batch; plain cross entropy without a teacher.

    Parameters
    ----------
    teacher : the dense network, in evaluation mode
    share : of its answers, 0..1
    temperature : T
    """

    teacher: Network | None = None
    share: float = 0.0
    temperature: float = 1.0

    def __call__(self, x: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """x: normalised images, float32 [N, C, H, W]; logits: [N, classes]; labels: int64 [N]."""
        hard = functional.cross_entropy(logits, labels)
        if self.teacher is None:
            return hard
        with torch.no_grad():
            answers = self.teacher(x)
        soft = functional.kl_div(
            functional.log_softmax(logits / self.temperature, 1),
            functional.log_softmax(answers / self.temperature, 1),
            reduction="batchmean",
            log_target=True,
        )
        return (1 - self.share) * hard + self.share * self.temperature**2 * soft
