"""Adam (Kingma, Ba 2015) on named weights, with one count of steps for all of them."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-8  # torch's, and the paper's


class Adam:
    """The update of `torch.optim.Adam(fused=True)`, to the bit.

    torch's optimizer counts the steps of every tensor apart, in two small operations a tensor and
    step, which take a third of its time on a CPU.

    Args:
        weights: by name; they are updated in place.
        lr: the learning rate.
    """

    def __init__(self, weights: Mapping[str, Tensor], lr: float) -> None:
        self.lr = lr
        self._names = list(weights)
        self.weights = [weight.detach() for weight in weights.values()]
        self._step = torch.zeros((), device=self.weights[0].device)
        self._mean = [torch.zeros_like(weight) for weight in self.weights]
        self._square = [torch.zeros_like(weight) for weight in self.weights]

    def state(self) -> dict[str, Tensor]:
        """The live tensors as torch names them; a copy into them restores the optimizer.

        "NAME.step" is one tensor for all names.
        """
        found = {}
        for name, mean, square in zip(self._names, self._mean, self._square, strict=True):
            found[f"{name}.step"] = self._step
            found[f"{name}.exp_avg"] = mean
            found[f"{name}.exp_avg_sq"] = square
        return found

    def update(self, gradients: Sequence[Tensor], skipped: Tensor) -> None:
        """One step.

        Args:
            gradients: in the order of the weights.
            skipped: scalar; where it is 1 nothing changes.
        """
        self._step += 1
        torch._fused_adam_(
            self.weights,
            list(gradients),
            self._mean,
            self._square,
            [],
            [self._step] * len(self.weights),
            lr=self.lr,
            beta1=_BETA1,
            beta2=_BETA2,
            weight_decay=0.0,
            eps=_EPS,
            amsgrad=False,
            maximize=False,
            found_inf=skipped,
        )
        self._step -= skipped
