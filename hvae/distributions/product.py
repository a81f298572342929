"""Products of spheres, packed along one axis: independent von Mises-Fisher and uniform shells."""

from collections.abc import Sequence

import torch
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint, dependent

from hvae.distributions.constraints import (
    Concentrations,
    Numbers,
    UnitVectors,
    checked_dims,
    parameter,
)
from hvae.distributions.uniform import UniformOnSpheres
from hvae.distributions.von_mises_fisher import VonMisesFisherOnSpheres


class VonMisesFisherProduct(VonMisesFisherOnSpheres):
    """Independent von Mises-Fisher distributions on S^{m1-1} x S^{m2-1} x ..., packed.

    One launch draws all shells of all rows. `log_prob`, `entropy` and divergences are sums over the
    shells.

    Args:
        loc: [..., sum(dims)], the mean directions of the shells one after another, each of length 1
            to 1e-5.
        concentration: [..., shells], 0 <= k < infinity; the leading axes broadcast with those of
            loc.
        dims: ambient dimension of each shell, 2 to 32768.
        kappa_grad, validate_args: as `VonMisesFisher`.

    Shapes: batch_shape is the broadcast shape, event_shape is [sum(dims)].

    Raises:
        TypeError, ValueError: as `VonMisesFisher`.

    >>> import torch
    >>> loc = torch.tensor([[1.0, 0.0, 0.0, 0.6, 0.8]])
    >>> latent = VonMisesFisherProduct(loc, torch.tensor([[5.0, 0.0]]), (2, 3))
    >>> latent.rsample((7,)).shape, latent.entropy().shape
    (torch.Size([7, 1, 5]), torch.Size([1]))
    >>> prior = HypersphericalUniformProduct((2, 3))
    >>> divergence = torch.distributions.kl_divergence(latent, prior)
    >>> bool(torch.isclose(divergence[0], -latent.entropy()[0] + prior.entropy()))
    True
    """

    shared = (*VonMisesFisherOnSpheres.shared, "arg_constraints")
    # Of the class; an instance, which knows its shells, has their constraint in its own.
    arg_constraints: dict[str, Constraint] = {
        "loc": dependent(is_discrete=False, event_dim=1),
        "concentration": Concentrations(1),
    }

    def __init__(
        self,
        loc: Numbers,
        concentration: Numbers,
        dims: Sequence[int],
        kappa_grad: str = "implicit",
        validate_args: bool | None = None,
    ) -> None:
        dims = checked_dims("dims", dims)
        loc = parameter("loc", loc, like=concentration)
        concentration = parameter("concentration", concentration, like=loc)
        for name, value, width in (
            ("loc", loc, sum(dims)),
            ("concentration", concentration, len(dims)),
        ):
            if value.dim() < 1 or value.shape[-1] != width:
                raise ValueError(
                    f"{name} has shape {tuple(value.shape)}; allowed: [..., {width}] for dims "
                    f"{dims}"
                )
        self.arg_constraints = {**self.arg_constraints, "loc": UnitVectors(dims)}
        self._set(loc, concentration, dims, kappa_grad, validate_args)

    def expand(
        self, batch_shape: Sequence[int], _instance: Distribution | None = None
    ) -> "VonMisesFisherProduct":
        """The distribution with a batch shape that its own broadcasts to; nothing is copied."""
        return self._expanded(VonMisesFisherProduct, batch_shape, _instance)


class HypersphericalUniformProduct(UniformOnSpheres):
    """The uniform distribution on S^{m1-1} x S^{m2-1} x ..., packed along one axis.

    Args:
        dims: ambient dimension of each shell, 2 to 32768.
        dtype, device, validate_args: as `HypersphericalUniform`.

    >>> HypersphericalUniformProduct((2, 3)).sample((4,)).shape
    torch.Size([4, 5])
    """

    def __init__(
        self,
        dims: Sequence[int],
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._set(checked_dims("dims", dims), dtype, device, validate_args)

    def expand(
        self, batch_shape: Sequence[int], _instance: Distribution | None = None
    ) -> "HypersphericalUniformProduct":
        """The distribution with a batch shape that its own broadcasts to; nothing is copied."""
        return self._expanded(HypersphericalUniformProduct, batch_shape, _instance)
