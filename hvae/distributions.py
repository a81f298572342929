"""Directions as `torch.distributions`: von Mises-Fisher, uniform, and packed products of them.

    VonMisesFisher(loc, concentration)                  on S^{m-1}, m = loc.shape[-1]
    HypersphericalUniform(dim)                          on S^{dim-1}
    VonMisesFisherProduct(loc, concentration, dims)     on S^{m1-1} x S^{m2-1} x ..., one launch
    HypersphericalUniformProduct(dims)                  its uniform distribution

Every dimension is the AMBIENT one, from 2 to 32768. Every concentration in [0, infinity) is
ordinary (to 1e8 in float32), 0 is the uniform distribution, and so is every loc, the first basis
vector and its negative included; m = 2 is the von Mises distribution of an angle.

With L and A as in `hvae.ops.vmf`, the density with respect to area is exp(k mu.z - L) / |S^{m-1}|.
`log_prob` evaluates (k - L) - k v - log |S^{m-1}|, v = |z - mu|^2 / 2, in which nothing cancels
at a high concentration. Draws come from Wood's rejection (1994), whose random numbers are keyed by
one torch.randint, so torch.manual_seed governs them; their gradient is unbiased (Figurnov, Mohamed,
Mnih 2018) and no derivative of a function, so there is no second one.

Parameters are float32 or float64; float16 and bfloat16 are computed, and returned, in float32, with
loc normalised anew. `kl_divergence` of torch covers every pair of these on the same spheres.
Values are validated as everywhere in torch.distributions, and under torch.compile not at all.
"""

import functools
import math
import operator
from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.kl import register_kl

from hvae import ops
from hvae.divergence import bregman

__all__ = [
    "HypersphericalUniform",
    "HypersphericalUniformProduct",
    "VonMisesFisher",
    "VonMisesFisherProduct",
]

LARGEST_DIM = 1 << 15  # the random counter of a shell holds no more normal numbers
WIDE = (torch.float32, torch.float64)
REDUCED = (torch.float16, torch.bfloat16)


# ---- what arguments may be -----------------------------------------------------------------------


class _UnitVectors(constraints.Constraint):
    """Vectors of length 1 on every shell, to the larger of 1e-5 and two units of rounding.

    F.normalize in float32 leaves 7e-7 at 32768 dimensions; SciPy allows 1e-5.
    """

    event_dim = 1

    def __init__(self, dims: Sequence[int]):
        self.dims = tuple(dims)
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        allowed = max(1e-5, 2 * torch.finfo(value.dtype).eps)
        return ((self.lengths(value) - 1).abs() <= allowed).all(-1)

    def lengths(self, value: Tensor) -> Tensor:
        wide = value.to(torch.promote_types(value.dtype, torch.float32))
        return torch.sqrt(_shell_sums(wide.square(), self.dims))

    def describe(self, value: Tensor) -> str:
        lengths = [round(length, 7) for length in self.lengths(value).tolist()]
        return f"a vector of length {lengths[0] if len(lengths) == 1 else lengths}"

    def __repr__(self) -> str:
        return "length 1" if len(self.dims) == 1 else f"length 1 on each shell of dims {self.dims}"


class _Concentrations(constraints.Constraint):
    """Finite numbers that are not negative."""

    def __init__(self, event_dim: int):
        self.event_dim = event_dim
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        valid = (value >= 0) & (value < math.inf)
        return valid.all(-1) if self.event_dim else valid

    def describe(self, value: Tensor) -> str:
        return str(value.tolist())

    def __repr__(self) -> str:
        return "0 <= concentration < infinity"


def _violation(name: str, value: Tensor, constraint) -> str | None:
    """One line about the first element of value that breaks the constraint."""
    broken = (~constraint.check(value)).nonzero().tolist()
    if not broken:
        return None
    place = f"at {tuple(broken[0])}, " if broken[0] else ""
    described = constraint.describe(value.detach()[tuple(broken[0])])
    return f"{name} is, {place}{described}; allowed: {constraint}"


def _check_tensor(name: str, value, device: torch.device | None = None) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} is a {type(value).__name__}; allowed: a floating tensor")
    if value.dtype not in (*WIDE, *REDUCED):
        raise TypeError(
            f"{name} has dtype {value.dtype}; allowed: torch.float32, torch.float64, "
            "torch.float16, torch.bfloat16"
        )
    if device is not None and value.device != device:
        raise ValueError(f"{name} is on {value.device}; allowed: {device}, the device of the rest")


def _checked_dims(name: str, dims) -> tuple[int, ...]:
    """dims as a tuple; `name` is how the user calls it."""
    try:
        sizes = tuple(operator.index(m) for m in dims)
    except TypeError:
        raise TypeError(f"{name} is {dims!r}; allowed: integers") from None
    if not sizes or min(sizes) < 2 or max(sizes) > LARGEST_DIM:
        raise ValueError(f"{name} is {sizes}; allowed: ambient dimensions from 2 to {LARGEST_DIM}")
    return sizes


def _compute_dtype(*tensors: Tensor) -> torch.dtype:
    return functools.reduce(torch.promote_types, (t.dtype for t in tensors), torch.float32)


# ---- packed shells -------------------------------------------------------------------------------


def _shell_sums(x: Tensor, dims: Sequence[int]) -> Tensor:
    """[..., sum(dims)] -> [..., shells], the sum over each shell."""
    if len(dims) == 1:
        return x.sum(-1, keepdim=True)
    return torch.stack([part.sum(-1) for part in x.split(list(dims), -1)], -1)


def _spread(x: Tensor, dims: Sequence[int]) -> Tensor:
    """[..., shells] -> what broadcasts with [..., sum(dims)], each number over its shell."""
    if len(dims) == 1:
        return x
    return torch.cat([x[..., i : i + 1].expand(*x.shape[:-1], m) for i, m in enumerate(dims)], -1)


def _normalised(x: Tensor, dims: Sequence[int]) -> Tensor:
    return x / _spread(torch.sqrt(_shell_sums(x.square(), dims)), dims)


def _log_area(dims: Sequence[int]) -> float:
    return sum(ops.log_area(m) for m in dims)


def _draw(mean, concentration, dims, sample_shape, kappa_grad) -> Tensor:
    """[*sample_shape, ..., sum(dims)] from mean [..., sum(dims)] and concentration [..., shells].

    Batch axes are the rows of the kernel, sample axes its samples; the key is torch's.
    """
    shape = torch.Size(sample_shape) + mean.shape
    samples = math.prod(sample_shape)
    if samples == 0:
        return mean.expand(shape)
    key = torch.randint(-(2**63), 2**63 - 1, (1,), device=mean.device)
    rng = torch.nn.functional.pad(key, (0, 3))
    head, kappa = mean.reshape(-1, mean.shape[-1]), concentration.reshape(-1, len(dims))
    return ops.sample(head, kappa, dims, rng, samples, kappa_grad)[0].reshape(shape)


class _OnSpheres(Distribution):
    """A distribution on a product of spheres, packed along the one event axis."""

    has_rsample = True
    dims: tuple[int, ...]
    device: torch.device

    def _finish(self, batch_shape: torch.Size, validate_args: bool | None) -> None:
        """Distribution.__init__, whose checks of values torch.compile would have to read."""
        event_shape = torch.Size([sum(self.dims)])
        wanted = self._validate_args if validate_args is None else validate_args
        checked = wanted and not torch.compiler.is_compiling()
        try:
            super().__init__(batch_shape, event_shape, validate_args=checked)
        except ValueError as error:
            raise ValueError(self._complaint() or str(error)) from None
        self._validate_args = wanted

    def _complaint(self) -> str | None:
        found = (_violation(n, getattr(self, n), c) for n, c in self.arg_constraints.items())
        return next(filter(None, found), None)

    @property
    def support(self) -> constraints.Constraint:
        return _UnitVectors(self.dims)

    def _validate_sample(self, value: Tensor) -> None:
        _check_tensor("value", value, self.device)
        if value.dim() < 1 or value.shape[-1:] != self.event_shape:
            raise ValueError(
                f"value has shape {tuple(value.shape)}; allowed: [..., {sum(self.dims)}]"
            )
        if torch.compiler.is_compiling():
            return
        try:
            super()._validate_sample(value)
        except ValueError as error:
            raise ValueError(_violation("value", value, self.support) or str(error)) from None

    def expand(self, batch_shape, _instance=None):
        new = self._get_checked_instance(type(self), _instance)
        new.dims, new.device = self.dims, self.device
        self._expand_into(new, torch.Size(batch_shape))
        Distribution.__init__(new, torch.Size(batch_shape), self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new


# ---- von Mises-Fisher ----------------------------------------------------------------------------


class _VonMisesFisherOnSpheres(_OnSpheres):
    """What one shell and several have in common: loc [..., M], concentrations packed [..., S]."""

    def _set(self, loc, concentration, dims, kappa_grad, validate_args) -> None:
        """loc [..., M] and concentration [..., S], broadcast in their leading axes."""
        if kappa_grad not in ops.KAPPA_GRADIENTS:
            raise ValueError(
                f"kappa_grad is {kappa_grad!r}; allowed: {', '.join(ops.KAPPA_GRADIENTS)}"
            )
        try:
            batch_shape = torch.broadcast_shapes(loc.shape[:-1], concentration.shape[:-1])
        except RuntimeError:
            raise ValueError(
                f"loc and concentration have batch shapes {tuple(loc.shape[:-1])} and "
                f"{tuple(concentration.shape[:-1])}; allowed: shapes that broadcast"
            ) from None
        self.dims, self.device, self.kappa_grad = dims, loc.device, kappa_grad
        self.loc = loc.expand(*batch_shape, -1)
        dtype = _compute_dtype(loc, concentration)
        mean = loc.to(dtype)
        mean = _normalised(mean, dims) if loc.dtype in REDUCED else mean
        self._mean = mean.expand(*batch_shape, -1)
        self._concentration = concentration.to(dtype).expand(*batch_shape, -1)
        self._finish(batch_shape, validate_args)

    def __repr__(self) -> str:
        shapes = (tuple(x.shape) for x in (self.loc, self.concentration))
        return "{}(loc: {}, concentration: {}, dims: {})".format(
            type(self).__name__, *shapes, self.dims
        )

    def _expand_into(self, new, batch_shape: torch.Size) -> None:
        new.kappa_grad = self.kappa_grad
        for name in ("loc", "_mean", "_concentration"):
            setattr(new, name, getattr(self, name).expand(*batch_shape, -1))

    def _vmf(self, quantity: str) -> Tensor:
        return ops.vmf(self._concentration, self.dims, quantity)[0]

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws [*sample_shape, *batch_shape, *event_shape] with unbiased gradients to loc and
        concentration (`kappa_grad="naive"`: a biased one to the concentration).
        """
        return _draw(self._mean, self._concentration, self.dims, sample_shape, self.kappa_grad)

    def log_prob(self, value: Tensor) -> Tensor:
        """(k - L) - k v - log |S| at value [..., *event_shape], v = |value - loc|^2 / 2, summed
        over shells. A value (or loc) whose length is off by d moves it by d k v + k d^2 / 2.
        """
        if self._validate_args:
            self._validate_sample(value)
        dtype = _compute_dtype(value, self._mean)
        gap = _shell_sums((value.to(dtype) - self._mean).square(), self.dims) / 2
        weight = self._vmf("k_minus_L") - self._concentration * gap
        return weight.sum(-1) - _log_area(self.dims)

    def entropy(self) -> Tensor:
        """log |S| less the divergence to the uniform distribution; [*batch_shape]."""
        return _log_area(self.dims) - self._vmf("KL").sum(-1)

    @property
    def mean(self) -> Tensor:
        """E[z] = A loc, inside the ball; [*batch_shape, *event_shape]."""
        return _spread(self._vmf("A"), self.dims) * self._mean

    @property
    def mode(self) -> Tensor:
        """loc, also where the concentration is 0 and every point is a mode."""
        return self._mean

    @property
    def variance(self) -> Tensor:
        """Of each coordinate: A' mu^2 + (A/k) (1 - mu^2); [*batch_shape, *event_shape]."""
        mean, slope = ops.vmf(self._concentration, self.dims, "A")
        rest = self._vmf("one_minus_A")
        tangents = self._concentration.new_tensor(self.dims) - 1
        across = (rest * (1 + mean) - slope) / tangents  # A/k, 1/m at k = 0
        along = self._mean.square()
        return _spread(slope, self.dims) * along + _spread(across, self.dims) * (1 - along)


class VonMisesFisher(_VonMisesFisherOnSpheres):
    """The von Mises-Fisher distribution on S^{m-1}, density exp(k loc.z - L_m(k)) / |S^{m-1}|.

    Args:
        loc: [..., m], mean directions: unit vectors to 1e-5, m from 2 to 32768.
        concentration: [...], k, 0 <= k < infinity, a tensor or a number; it broadcasts with the
            leading axes of loc.
        kappa_grad: the gradient of a draw to the concentration: "implicit", unbiased (Figurnov,
            Mohamed, Mnih 2018), or "naive", the biased one that differentiates the accepted
            proposal (Davidson et al. 2018). The gradient to loc is unbiased with either.
        validate_args: check values, as everywhere in torch.distributions (its default); never under
            torch.compile.

    Shapes: batch_shape is the broadcast shape, event_shape is [m].

    Raises:
        TypeError: an argument that is no floating tensor (a concentration may be a number).
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

    def __init__(
        self,
        loc: Tensor,
        concentration: Tensor | float,
        kappa_grad: str = "implicit",
        validate_args: bool | None = None,
    ):
        _check_tensor("loc", loc)
        if loc.dim() < 1:
            raise ValueError("loc has shape (); allowed: [..., m]")
        dims = _checked_dims("the event shape of loc", loc.shape[-1:])
        if isinstance(concentration, Real) and not isinstance(concentration, bool):
            concentration = torch.full((), concentration, dtype=loc.dtype, device=loc.device)
        _check_tensor("concentration", concentration, loc.device)
        self._set(loc, concentration[..., None], dims, kappa_grad, validate_args)

    @property
    def arg_constraints(self):
        return {"loc": _UnitVectors(self.dims), "concentration": _Concentrations(0)}

    @property
    def concentration(self) -> Tensor:
        return self._concentration[..., 0]

    @classmethod
    def fit(cls, samples: Tensor, weights: Tensor | None = None) -> "VonMisesFisher":
        """The maximum-likelihood estimate: loc is the direction of the mean resultant vector, of
        length R, and the concentration solves A_m(k) = R.

        Newton's iteration from the approximation of Banerjee et al. (2005), on A - R below R = 1/2
        and above it on (1 - R) - (1 - A), where 1 - R is the mean of |z - loc|^2 / 2: relative
        error of k a few ulp of that of R or 1 - R, from R = 1e-6 (and 0: k = 0) to 1 - R = 1e-9 and
        beyond. Computed in float64, without gradients.

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
        _check_tensor("samples", samples)
        if samples.dim() < 2 or samples.shape[0] < 1:
            raise ValueError(f"samples has shape {tuple(samples.shape)}; allowed: [n, ..., m]")
        dims = _checked_dims("the event shape of samples", samples.shape[-1:])
        complaint = _violation("samples", samples, _UnitVectors(dims))
        if complaint:
            raise ValueError(complaint)
        with torch.no_grad():
            loc, concentration = _fit(samples, _checked_weights(weights, samples))
        dtype = _compute_dtype(samples)
        return cls(loc.to(dtype), concentration.to(dtype))


class VonMisesFisherProduct(_VonMisesFisherOnSpheres):
    """Independent von Mises-Fisher distributions on S^{m1-1} x S^{m2-1} x ..., packed: one launch
    draws all shells of all rows. `log_prob`, `entropy` and divergences are sums over the shells.

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

    def __init__(
        self,
        loc: Tensor,
        concentration: Tensor,
        dims: Sequence[int],
        kappa_grad: str = "implicit",
        validate_args: bool | None = None,
    ):
        dims = _checked_dims("dims", dims)
        _check_tensor("loc", loc)
        _check_tensor("concentration", concentration, loc.device)
        for name, value, width in (
            ("loc", loc, sum(dims)),
            ("concentration", concentration, len(dims)),
        ):
            if value.dim() < 1 or value.shape[-1] != width:
                raise ValueError(
                    f"{name} has shape {tuple(value.shape)}; allowed: [..., {width}] for dims "
                    f"{dims}"
                )
        self._set(loc, concentration, dims, kappa_grad, validate_args)

    @property
    def arg_constraints(self):
        return {"loc": _UnitVectors(self.dims), "concentration": _Concentrations(1)}

    @property
    def concentration(self) -> Tensor:
        return self._concentration


# ---- uniform -------------------------------------------------------------------------------------


class _UniformOnSpheres(_OnSpheres):
    arg_constraints = {}

    def _set(self, dims, dtype, device, validate_args) -> None:
        dtype = torch.get_default_dtype() if dtype is None else dtype
        if dtype not in WIDE:
            raise TypeError(f"dtype is {dtype}; allowed: torch.float32, torch.float64")
        self.dims = dims
        # Concentration 0 about any direction; a zero head is the first basis vector.
        self._mean = torch.zeros(sum(dims), dtype=dtype, device=device)
        self._concentration = torch.zeros(len(dims), dtype=dtype, device=device)
        self.device = self._mean.device
        self._finish(torch.Size(), validate_args)

    def _expand_into(self, new, batch_shape: torch.Size) -> None:
        for name in ("_mean", "_concentration"):
            setattr(new, name, getattr(self, name).expand(*batch_shape, -1))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws [*sample_shape, *batch_shape, *event_shape]; there is nothing to differentiate."""
        return _draw(self._mean, self._concentration, self.dims, sample_shape, "implicit")

    def log_prob(self, value: Tensor) -> Tensor:
        """-log |S| for value [..., *event_shape]."""
        if self._validate_args:
            self._validate_sample(value)
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        dtype = _compute_dtype(value)
        return torch.full(shape, -_log_area(self.dims), dtype=dtype, device=value.device)

    def entropy(self) -> Tensor:
        """log |S|; [*batch_shape]."""
        return torch.full_like(self._mean[..., 0], _log_area(self.dims))

    @property
    def mean(self) -> Tensor:
        """0, the centre."""
        return self._mean

    @property
    def mode(self) -> Tensor:
        """NaN: there is none, as for torch's Uniform."""
        return torch.full_like(self._mean, math.nan)

    @property
    def variance(self) -> Tensor:
        """1/m of each coordinate of a shell of ambient dimension m."""
        each = _spread(1 / self._concentration.new_tensor(self.dims), self.dims)
        return each.expand_as(self._mean)

    def __repr__(self) -> str:
        shown = self.dims[0] if isinstance(self, HypersphericalUniform) else self.dims
        return f"{type(self).__name__}({shown})"


class HypersphericalUniform(_UniformOnSpheres):
    """The uniform distribution on S^{dim-1}, density 1/|S^{dim-1}|.

    Args:
        dim: the AMBIENT dimension, 2 to 32768.
        dtype, device: of draws; float32 or float64, default torch's.
        validate_args: check values given to log_prob.

    Shapes: batch_shape is [], event_shape is [dim].

    Raises:
        TypeError, ValueError: for a dim that is no integer or out of range, or another dtype.

    >>> import math
    >>> sphere = HypersphericalUniform(3)
    >>> math.isclose(sphere.entropy(), math.log(4 * math.pi), rel_tol=1e-6)
    True
    >>> sphere.sample((5,)).shape
    torch.Size([5, 3])
    """

    def __init__(self, dim: int, dtype=None, device=None, validate_args: bool | None = None):
        self._set(_checked_dims("dim", (dim,)), dtype, device, validate_args)


class HypersphericalUniformProduct(_UniformOnSpheres):
    """The uniform distribution on S^{m1-1} x S^{m2-1} x ..., packed along one axis.

    Args:
        dims: ambient dimension of each shell, 2 to 32768.
        dtype, device, validate_args: as `HypersphericalUniform`.

    >>> HypersphericalUniformProduct((2, 3)).sample((4,)).shape
    torch.Size([4, 5])
    """

    def __init__(
        self, dims: Sequence[int], dtype=None, device=None, validate_args: bool | None = None
    ):
        self._set(_checked_dims("dims", dims), dtype, device, validate_args)


# ---- maximum likelihood --------------------------------------------------------------------------

NEWTON_STEPS = 5  # the start is within 7 %, so that four reach 1e-15 for every m and R


def _checked_weights(weights, samples: Tensor) -> Tensor:
    """[n, ..., 1] float64."""
    if weights is None:
        return torch.ones(samples.shape[0], *[1] * (samples.dim() - 1), device=samples.device)
    _check_tensor("weights", weights, samples.device)
    if weights.shape not in (samples.shape[:1], samples.shape[:-1]):
        raise ValueError(
            f"weights has shape {tuple(weights.shape)}; allowed: {tuple(samples.shape[:1])} or "
            f"{tuple(samples.shape[:-1])}"
        )
    if not ((weights >= 0) & (weights < math.inf)).all() or not (weights.sum(0) > 0).all():
        raise ValueError(
            f"weights has minimum {weights.min().item()}, maximum {weights.max().item()}; allowed: "
            "finite, not negative, with a positive sum"
        )
    return weights.double().reshape(*weights.shape, *[1] * (samples.dim() - weights.dim()))


def _fit(samples: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """(loc [..., m], concentration [...]) in float64."""
    m = samples.shape[-1]
    z = _normalised(samples.double(), (m,))
    weights = weights.double() / weights.double().sum(0)
    resultant = (weights * z).sum(0)
    length = resultant.norm(dim=-1, keepdim=True)
    first = (torch.arange(m, device=z.device) == 0).double()  # e_1, where no direction leads
    loc = torch.where(length > 0, resultant / length, first)
    complement = (weights * (z - loc).square()).sum(0).sum(-1) / 2
    # Points within the rounding of their dtype of each other are one point.
    if (complement < m * torch.finfo(samples.dtype).eps ** 2 / 8).any():
        raise ValueError(
            "samples are all one point, whose likelihood grows without bound with the "
            "concentration; allowed: two directions or more"
        )
    return loc, _solve(length[..., 0], complement, m)


def _solve(resultant: Tensor, complement: Tensor, m: int) -> Tensor:
    """The concentration at which A_m is `resultant`, 1 - `complement`, whichever has the digits."""
    k = resultant * (m - resultant**2) / (complement * (2 - complement))
    for _ in range(NEWTON_STEPS):
        (mean, slope), (rest, _) = (
            ops.vmf(k[..., None], (m,), quantity) for quantity in ("A", "one_minus_A")
        )
        residual = torch.where(resultant < 0.5, mean[..., 0] - resultant, complement - rest[..., 0])
        k = k - residual / slope[..., 0]
    return k


# ---- divergences ---------------------------------------------------------------------------------


def _same_spheres(p: _OnSpheres, q: _OnSpheres) -> None:
    if p.dims != q.dims:
        raise ValueError(f"the second distribution has dims {q.dims}; allowed: {p.dims}")


def _in_batch(divergence: Tensor, p: _OnSpheres, q: _OnSpheres) -> Tensor:
    return divergence.expand(torch.broadcast_shapes(p.batch_shape, q.batch_shape))


@register_kl(_VonMisesFisherOnSpheres, _UniformOnSpheres)
def _(p, q):
    _same_spheres(p, q)
    return _in_batch(p._vmf("KL").sum(-1), p, q)


@register_kl(_UniformOnSpheres, _VonMisesFisherOnSpheres)
def _(p, q):
    _same_spheres(p, q)
    return _in_batch(q._vmf("L").sum(-1), p, q)


@register_kl(_UniformOnSpheres, _UniformOnSpheres)
def _(p, q):
    _same_spheres(p, q)
    return _in_batch(torch.zeros_like(p._mean[..., 0]), p, q)


@register_kl(_VonMisesFisherOnSpheres, _VonMisesFisherOnSpheres)
def _(p, q):
    _same_spheres(p, q)
    k1, k2 = torch.broadcast_tensors(p._concentration, q._concentration)
    dtype = torch.promote_types(k1.dtype, k2.dtype)
    k1, k2 = k1.to(dtype), k2.to(dtype)
    apart = _shell_sums((p._mean - q._mean).square(), p.dims) / 2
    turned = k2 * ops.vmf(k1, p.dims, "A")[0] * apart
    return (bregman(k1, k2, p.dims) + turned).sum(-1)
