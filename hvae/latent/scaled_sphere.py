"""Scaled von Mises-Fisher shells: a width for every direction, on S^{m-1} with a uniform prior."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hvae import ops
from hvae.distributions.density import log_density_to_uniform
from hvae.latent.component import Draw, LatentOptions, owners
from hvae.latent.reinforce import surrogate
from hvae.latent.sphere import Spheres, VonMisesFisherShells


class ScaledSpheres(Spheres):
    """Raw parameters: mean directions [R, m], concentrations [R, S] and b [R, m], twice log scales.

    A draw is y = A x / |A x| for x of a von Mises-Fisher shell and scales s_i = exp(b_i / 2), where
    b has its mean over the shell subtracted: how wide a shell is in all directions is what its
    concentration says. A is one of two frames:

    - "mean": A = mu mu' + P diag(s) P with P = I - mu mu', in the tangent space at the mean
      direction mu of x, which stays that of y;
    - "fixed": A = diag(s), along the axes of R^m.

    The initial weights are those of any linear layer, under which s is near 1, as a Gaussian
    component's variance is.
    """

    title = "a scaled one"

    def __init__(self, sizes: Sequence[int], first: int, options: LatentOptions) -> None:
        super().__init__(sizes, first, options)
        each = owners(sizes)
        self.raw_sizes = (*self.raw_sizes, len(each))
        owner = torch.cat([self.raw_owner, torch.tensor(each)])
        self.register_buffer("raw_owner", owner, persistent=False)

    def posterior(self, raw: Sequence[Tensor]) -> "ScaledShells":
        raw_direction, raw_concentration, raw_scales = raw
        kappa = self.kappa(raw_concentration, self.m)
        return ScaledShells(self, raw_direction, kappa, raw_scales)

    def members(self, raw: Sequence[Tensor]) -> VonMisesFisherShells:
        """Plain von Mises-Fisher shells: only their density is an exponential of a linear form."""
        return super().members(raw[:2])

    @classmethod
    def auto_kl_weights(cls, sizes: Sequence[int]) -> list[float]:
        """1: a direction that needs no precision does not pay for one that does."""
        return [1.0] * len(sizes)


class ScaledShells(VonMisesFisherShells):
    """Scaled vMF(mean direction, kappa, scales) on each of S shells.

    Args:
        family: whose shells these are.
        raw_direction: [R, sum of m], normalised shell by shell in the kernel.
        kappa: [R, S], of x, before it is stretched.
        raw_scales: [R, sum of m], b in s_i = exp((b_i - mean b) / 2).
    """

    def __init__(
        self, family: ScaledSpheres, raw_direction: Tensor, kappa: Tensor, raw_scales: Tensor
    ) -> None:
        super().__init__(family, raw_direction, kappa)
        self.raw_scales = raw_scales

    def mode(self) -> Tensor:
        """A mu / |A mu|, where the mode of x goes: mu itself in the frame at the mean direction.

        It is the limit of the mode for high concentrations. In the frame at the mean direction it
        is the mean direction always, and the mode as long as kappa >= m (s^2 - 1) for every scale.
        """
        mean = super().mode()
        if self.family.options.scale_frame == "mean":
            return mean
        half, owner = 0.5 * self.raw_scales.double(), self.family.raw_owner[: mean.shape[1]]
        shells = half.new_zeros(len(half), len(self.family.dims))
        average = shells.index_add(1, owner, half) / self.family.m
        logs = (half - average[:, owner]).clamp(-ops.MOST_LOG_SCALE, ops.MOST_LOG_SCALE)
        stretched = mean.double() * logs.exp()
        square = shells.index_add(1, owner, stretched.square())
        return (stretched / square.sqrt()[:, owner]).to(mean.dtype)

    def draw(self, rng: Tensor, samples: int = 1, with_log_weights: bool = False) -> Draw:
        """KL = KL of x + m E log|A x| - log|A|: exact but for the mean of m log|A x| over draws."""
        family, kappa, dims = self.family, self.kappa, self.family.dims
        options = family.options
        scored = options.kappa_grad == "reinforce"
        z, v, stretch, volume, kl = ops.scaled_sample(
            self.raw_direction,
            kappa,
            self.raw_scales,
            dims,
            rng,
            samples,
            frame=options.scale_frame,
            kappa_grad="naive" if scored else options.kappa_grad,
            shell=family.first,
        )
        log_weight = None
        if with_log_weights:
            log_weight = (volume - stretch).sum(-1) - log_density_to_uniform(kappa, v, dims)
        if not (scored and kappa.requires_grad):
            return Draw(z, kl, log_weight)
        return Draw(z, kl, log_weight, surrogate(kappa, v, dims), stretch)
