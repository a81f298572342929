"""Adam (Kingma, Ba 2015) on named weights, whose steps are counted by one operation."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-8  # torch's, and the paper's


class Adam:
    """The update of `torch.optim.Adam(fused=True)`, to the bit.

    torch's optimizer counts the steps of every tensor by two small operations, which take a third
    of its time on a CPU. Here the counts are views of one tensor.

    Args:
        weights: by name; they are updated in place.
        lr: the learning rate.

    Attributes:
        weights: by name, without gradients; mean, square: of their gradients, Adam's m and v.
        counts: [weights], how many steps there were; step: its views, by name.
    """

    def __init__(self, weights: Mapping[str, Tensor], lr: float) -> None:
        self.lr = lr
        self.weights = {name: weight.detach() for name, weight in weights.items()}
        self.mean = {name: torch.zeros_like(weight) for name, weight in self.weights.items()}
        self.square = {name: torch.zeros_like(weight) for name, weight in self.weights.items()}
        device = next(iter(self.weights.values())).device
        self.counts = torch.zeros(len(self.weights), device=device)
        self.step = dict(zip(self.weights, self.counts.unbind(), strict=True))

    def state(self) -> dict[str, Tensor]:
        """The live tensors as torch names them; a copy into them restores the optimizer."""
        found = {}
        for name in self.weights:
            found[f"{name}.step"] = self.step[name]
            found[f"{name}.exp_avg"] = self.mean[name]
            found[f"{name}.exp_avg_sq"] = self.square[name]
        return found

    def update(self, gradients: Sequence[Tensor], skipped: Tensor) -> None:
        """One step.

        Args:
            gradients: in the order of the weights.
            skipped: scalar; where it is 1 nothing changes.
        """
        self.counts += 1
        torch._fused_adam_(
            list(self.weights.values()),
            list(gradients),
            list(self.mean.values()),
            list(self.square.values()),
            [],
            list(self.step.values()),
            lr=self.lr,
            beta1=_BETA1,
            beta2=_BETA2,
            weight_decay=0.0,
            eps=_EPS,
            amsgrad=False,
            maximize=False,
            found_inf=skipped,
        )
        self.counts -= skipped
