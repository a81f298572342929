"""The names and shapes of s-vae-pytorch (Davidson et al. 2018), on the distributions of hvae.

    from hvae.compat import HypersphericalUniform, VonMisesFisher
    # in place of
    from hyperspherical_vae.distributions import HypersphericalUniform, VonMisesFisher

Programs run with that one line changed that use `rsample`, `sample`, `log_prob`, `entropy`, `mean`,
`loc`, `scale` and `kl_divergence`, as its example does. What differs is what was wrong:
batch_shape is [B] and event_shape [m] (there [B, m] and []), the gradient to the concentration is
unbiased, a mean direction may be any unit vector, and stddev is the standard deviation of each
coordinate (there it is the concentration). docs/coming-from.md has the tables.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

from hvae import distributions


class _DrawsByNumber(Distribution):
    """Draws whose shape may be a number, for a shape of one axis."""

    def rsample(self, shape: int | Sequence[int] = ()) -> Tensor:
        drawn: Tensor = super().rsample(torch.Size((shape,) if isinstance(shape, int) else shape))
        return drawn

    def sample(self, shape: int | Sequence[int] = ()) -> Tensor:
        """As `rsample`, without gradients."""
        with torch.no_grad():
            return self.rsample(shape)


class VonMisesFisher(_DrawsByNumber, distributions.VonMisesFisher):
    """`hvae.distributions.VonMisesFisher` with concentrations [..., 1].

    Args:
        loc: [..., m], mean directions, unit vectors, floating.
        scale: [..., 1], concentrations, beside loc [..., m].
        validate_args: as everywhere in torch.distributions.
        k: how many proposals there are at once in s-vae-pytorch; nothing depends on it here.

    Raises:
        ValueError, TypeError: as `hvae.distributions.VonMisesFisher`; for a scale whose last axis
            is not of length 1.

    >>> loc, scale = torch.eye(3)[:2], torch.tensor([[5.0], [50.0]])
    >>> q = VonMisesFisher(loc, scale)
    >>> q.rsample().shape, q.entropy().shape, q.scale.shape
    (torch.Size([2, 3]), torch.Size([2]), torch.Size([2, 1]))
    """

    def __init__(
        self, loc: Tensor, scale: Tensor, validate_args: bool | None = None, k: int = 1
    ) -> None:
        if scale.shape[-1:] != (1,):
            raise ValueError(
                f"scale has shape {tuple(scale.shape)}; allowed: [..., 1], one concentration a row "
                "(hvae.distributions.VonMisesFisher takes [...])"
            )
        super().__init__(loc, scale[..., 0], validate_args=validate_args)

    @property
    def scale(self) -> Tensor:
        """The concentrations, [*batch_shape, 1]."""
        return self.concentration[..., None]

    def expand(
        self, batch_shape: Sequence[int], _instance: Distribution | None = None
    ) -> "VonMisesFisher":
        """The distribution with a batch shape that its own broadcasts to; nothing is copied."""
        return self._expanded(VonMisesFisher, batch_shape, _instance)


class HypersphericalUniform(_DrawsByNumber, distributions.HypersphericalUniform):
    """`hvae.distributions.HypersphericalUniform` by the INTRINSIC dimension: S^dim in R^{dim+1}.

    Args:
        dim: of the sphere, 1 to 32767; points have dim + 1 coordinates.
        validate_args: as everywhere in torch.distributions.
        device: of draws.

    >>> HypersphericalUniform(2).sample((5,)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        dim: int,
        validate_args: bool | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(dim + 1, device=device, validate_args=validate_args)

    @property
    def dim(self) -> int:
        """The intrinsic dimension."""
        return self.dims[0] - 1

    def expand(
        self, batch_shape: Sequence[int], _instance: Distribution | None = None
    ) -> "HypersphericalUniform":
        """The distribution with a batch shape that its own broadcasts to; nothing is copied."""
        return self._expanded(HypersphericalUniform, batch_shape, _instance)
