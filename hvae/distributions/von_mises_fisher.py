"""The von Mises-Fisher distribution on a sphere, and what it shares with products of several."""

import warnings
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from hvae import ops
from hvae.distributions.constraints import (
    REDUCED,
    Concentrations,
    Numbers,
    UnitVectors,
    check_tensor,
    checked_dims,
    compute_dtype,
    parameter,
)
from hvae.distributions.density import log_density_to_uniform
from hvae.distributions.draws import von_mises_fisher_draws
from hvae.distributions.fit import maximum_likelihood
from hvae.distributions.packed import log_area, normalised, shell_sums, spread
from hvae.distributions.spheres import OnSpheres


class VonMisesFisherOnSpheres(OnSpheres):
    """Independent von Mises-Fisher distributions on one sphere or a product of several."""

    shared: ClassVar[tuple[str, ...]] = ("dims", "device", "kappa_grad")
    loc: Tensor  # [*batch_shape, *event_shape]
    concentration: Tensor  # [*batch_shape], of a product [*batch_shape, shells]
    kappa_grad: str

    def _set(
        self,
        loc: Tensor,
        concentration: Tensor,
        dims: tuple[int, ...],
        kappa_grad: str,
        validate_args: bool | None,
    ) -> None:
        """loc [..., M] and concentration [...] or [..., S], broadcast in their leading axes.

        Everything is computed from the attributes loc and concentration, so that gradients to them
        can be asked for.
        """
        if kappa_grad not in ops.KAPPA_GRADIENTS:
            raise ValueError(
                f"kappa_grad is {kappa_grad!r}; allowed: {', '.join(ops.KAPPA_GRADIENTS)}"
            )
        check_tensor("concentration", concentration, loc.device)
        axes = concentration.dim() - self.arg_constraints["concentration"].event_dim
        batch, each = concentration.shape[:axes], concentration.shape[axes:]
        try:
            batch_shape = torch.broadcast_shapes(loc.shape[:-1], batch)
        except RuntimeError:
            raise ValueError(
                f"loc and concentration have batch shapes {tuple(loc.shape[:-1])} and "
                f"{tuple(batch)}; allowed: shapes that broadcast"
            ) from None
        self.dims, self.device, self.kappa_grad = dims, loc.device, kappa_grad
        self.loc = loc.expand(*batch_shape, -1)
        dtype = compute_dtype(loc, concentration)
        self.concentration = concentration.to(dtype).expand(batch_shape + each)
        self._finish(batch_shape, validate_args)

    def __repr__(self) -> str:
        shapes = (tuple(x.shape) for x in (self.loc, self.concentration))
        return "{}(loc: {}, concentration: {}, dims: {})".format(
            type(self).__name__, *shapes, self.dims
        )

    @property
    def _mean_direction(self) -> Tensor:
        """loc in the dtype of results; where that is wider than its own 16 bits, normalised."""
        mean = self.loc.to(self.concentration.dtype)
        return normalised(mean, self.dims) if self.loc.dtype in REDUCED else mean

    @property
    def _concentrations(self) -> Tensor:
        """k of each shell, [*batch_shape, shells]."""
        return self.concentration

    def _vmf(self, quantity: str) -> Tensor:
        return ops.vmf(self._concentrations, self.dims, quantity)[0]

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws [*sample_shape, *batch_shape, *event_shape].

        Their gradients to loc and concentration are unbiased (with `kappa_grad="naive"` that to the
        concentration is biased).
        """
        return von_mises_fisher_draws(
            self._mean_direction, self._concentrations, self.dims, sample_shape, self.kappa_grad
        )

    def log_prob(self, value: Tensor) -> Tensor:
        """(k - L) - k v - log |S|, v = |value - loc|^2 / 2, at value [..., *event_shape].

        It is summed over the shells. A value (or loc) whose length is off by d moves it by
        d k v + k d^2 / 2.
        """
        if self._validate_args:
            self._validate_sample(value)
        dtype = compute_dtype(value, self.concentration)
        v = shell_sums((value.to(dtype) - self._mean_direction).square(), self.dims) / 2
        return log_density_to_uniform(self._concentrations, v, self.dims) - log_area(self.dims)

    def entropy(self) -> Tensor:
        """log |S| less the divergence to the uniform distribution; [*batch_shape]."""
        return log_area(self.dims) - self._vmf("KL").sum(-1)

    @property
    def mean(self) -> Tensor:
        """E[z] = A loc, inside the ball; [*batch_shape, *event_shape]."""
        return spread(self._vmf("A"), self.dims) * self._mean_direction

    @property
    def mode(self) -> Tensor:
        """loc, also where the concentration is 0 and every point is a mode."""
        return self._mean_direction

    def _variances(self) -> tuple[Tensor, Tensor]:
        """Along loc, A', and in each direction across, A/k, of every shell; [*batch_shape, S]."""
        mean, slope = ops.vmf(self._concentrations, self.dims, "A")
        rest = self._vmf("one_minus_A")
        tangents = self._concentrations.new_tensor(self.dims) - 1
        return slope, (rest * (1 + mean) - slope) / tangents  # A/k, 1/m at k = 0

    @property
    def variance(self) -> Tensor:
        """Of each coordinate: A' mu^2 + (A/k) (1 - mu^2); [*batch_shape, *event_shape]."""
        along, across = (spread(x, self.dims) for x in self._variances())
        square = self._mean_direction.square()
        return along * square + across * (1 - square)

    @property
    def covariance_matrix(self) -> Tensor:
        """Of one shell A' mu mu^T + (A/k) (I - mu mu^T); of several, 0 between two of them.

        [*batch_shape, M, M], M = sum(dims), whose diagonal is `variance`. Other elements have an
        error of a few ulp of the variances along and across loc.
        """
        along, across = self._variances()
        mean = self._mean_direction
        excess = spread(along - across, self.dims)[..., None]
        shell = spread(torch.arange(len(self.dims), device=self.device), self.dims)
        outer = (shell[:, None] == shell) * (mean[..., None] * mean[..., None, :])
        return torch.diagonal_scatter(excess * outer, self.variance, dim1=-2, dim2=-1)


class VonMisesFisher(VonMisesFisherOnSpheres):
    """The von Mises-Fisher distribution on S^{m-1}, density exp(k loc.z - L_m(k)) / |S^{m-1}|.

    Args:
        loc: [..., m], mean directions: unit vectors to 1e-5, m from 2 to 32768.
        concentration: [...], k, 0 <= k < infinity; it broadcasts with the leading axes of loc.
            Beside loc [B, m] it is [B]; the shape [B, 1] gives a warning, and the batch [B, B].
            Both are tensors, numbers or lists of numbers.
        kappa_grad: the gradient of a draw to the concentration: "implicit", unbiased (Figurnov,
            Mohamed, Mnih 2018), or "naive", the biased one that differentiates the accepted
            proposal (Davidson et al. 2018). The gradient to loc is unbiased with either.
        validate_args: check values, as everywhere in torch.distributions (its default); never under
            torch.compile.

    Shapes: batch_shape is the broadcast shape, event_shape is [m].

    Raises:
        TypeError: an argument that is neither a floating tensor nor numbers.
        ValueError: m out of range; shapes that do not broadcast; tensors on two devices; another
            kappa_grad; and where values are validated, a loc whose length is not 1 or a negative,
            NaN or infinite concentration. The message has the argument, its value and what is
            allowed.

    Accuracy, relative, float64 (float32): k - L 1.5e-15 (5e-7), entropy 2e-15 (1e-6) of the
    divergence to the uniform distribution, divergences 1e-13 (1e-5). Draws have length 1 to 4 ulp.
    Wood (1994); Davidson, Falorsi, De Cao, Kipf, Tomczak (2018); DLMF 10.25.2, 10.41.3.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> loc = torch.tensor([0.0, 0.6, 0.8], dtype=torch.float64)
    >>> vmf = VonMisesFisher(loc, torch.tensor(50.0, dtype=torch.float64, requires_grad=True))
    >>> z = vmf.rsample((1000,))
    >>> z.shape, bool((z.mean(0) - vmf.mean).abs().max() < 0.02)
    (torch.Size([1000, 3]), True)
    >>> round(vmf.log_prob(loc).item(), 6), round(vmf.entropy().item(), 6)
    (2.074146, -1.074146)
    """

    arg_constraints: dict[str, Constraint] = {
        "loc": UnitVectors(),
        "concentration": Concentrations(0),
    }

    def __init__(
        self,
        loc: Numbers,
        concentration: Numbers,
        kappa_grad: str = "implicit",
        validate_args: bool | None = None,
    ) -> None:
        loc = parameter("loc", loc, like=concentration)
        if loc.dim() < 1:
            raise ValueError("loc has shape (); allowed: [..., m]")
        dims = checked_dims("the event shape of loc", loc.shape[-1:])
        concentration = parameter("concentration", concentration, like=loc)
        self._set(loc, concentration, dims, kappa_grad, validate_args)
        rows = loc.shape[:-1]
        if rows and concentration.shape == (*rows, 1) and not torch.compiler.is_compiling():
            warnings.warn(
                f"concentration has shape {(*rows, 1)} and loc {tuple(loc.shape)}, which broadcast "
                f"to the batch shape {tuple(self.batch_shape)}; for one concentration a row give "
                f"it the shape {tuple(rows)}",
                stacklevel=2,
            )

    def expand(
        self, batch_shape: Sequence[int], _instance: Distribution | None = None
    ) -> "VonMisesFisher":
        """The distribution with a batch shape that its own broadcasts to; nothing is copied."""
        return self._expanded(VonMisesFisher, batch_shape, _instance)

    @property
    def _concentrations(self) -> Tensor:
        return self.concentration[..., None]

    @classmethod
    def fit(cls, samples: Tensor, weights: Tensor | None = None) -> "VonMisesFisher":
        """The maximum-likelihood estimate.

        loc is the direction of the mean resultant vector, of length R, and the concentration solves
        A_m(k) = R, by Newton's iteration from the approximation of Banerjee et al. (2005). It takes
        A - R to zero below R = 1/2 and (1 - R) - (1 - A) above, where 1 - R is the mean of
        |z - loc|^2 / 2. The relative error of k is a few ulp of that of R or 1 - R, from R = 1e-6
        (and 0: k = 0, loc = e_1) to 1 - R = 1e-9 and beyond. Computed in float64,
        without gradients.

        Args:
            samples: [n, ..., m], unit vectors; the axes between are a batch of fits.
            weights: [n] or [n, ...], not negative, with a positive sum; default: equal weights.

        Returns:
            A VonMisesFisher of batch_shape [...] in the dtype of samples (at least float32).

        Raises:
            TypeError, ValueError: as the constructor, for samples; for weights that are negative,
                not finite or sum to 0; and for samples that are all one point, whose likelihood
                has no maximum.

        >>> import torch
        >>> circle = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
        >>> vmf = VonMisesFisher.fit(circle)
        >>> vmf.loc.tolist(), round(vmf.concentration.item(), 6)
        ([0.7071067811865475, 0.7071067811865475], 2.058215)
        """
        return cls(*maximum_likelihood(samples, weights))
