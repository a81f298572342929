"""The scaled von Mises-Fisher distribution: a width for every direction of one sphere."""

import math
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
    Scales,
    UnitVectors,
    checked_dims,
    compute_dtype,
    parameter,
)
from hvae.distributions.density import log_density_to_uniform
from hvae.distributions.draws import scaled_draws
from hvae.distributions.packed import log_area, normalised
from hvae.distributions.spheres import OnSpheres


class ScaledVonMisesFisher(OnSpheres):
    """The law of y = A x / |A x| for x ~ vMF(loc, concentration), with scales s along axes.

    In the frame "mean" A = loc loc' + P diag(s) P with P = I - loc loc', which stretches the
    tangent space at loc; in the frame "fixed" A = diag(s). The density with respect to area is
    f(x) |A x|^m / |A|, f that of x. s = 1 is the von Mises-Fisher distribution.

    Mean direction and mode: in the frame at the mean direction both are loc, the mode as long as
    concentration >= m (s_i^2 - 1) for every i; a wider scale makes loc a saddle between two modes.
    In the fixed frame neither is loc, and neither has a closed form; at a high concentration both
    tend to A loc / |A loc|.

    Args:
        loc: [..., m], unit vectors to 1e-5, m from 2 to 32768.
        concentration: [...], 0 <= k < infinity, of x.
        scale: [..., m], s, each from 1e-13 to 1e13. In the fixed frame a common factor changes
            nothing; in the frame at the mean direction it widens, nearly as a lower concentration.
            All three broadcast in their leading axes; they are tensors, numbers or lists of
            numbers.
        frame: one of `hvae.ops.SCALE_FRAMES`.
        kappa_grad, validate_args: as `hvae.distributions.VonMisesFisher`.

    Shapes: batch_shape is the broadcast shape, event_shape is [m].

    Raises:
        TypeError, ValueError: as `hvae.distributions.VonMisesFisher`, for scale and frame too.

    Draws have length 1 to 4 ulp, and unbiased gradients to all three parameters. docs/numerics.md
    has the accuracy. Compare the scaled von Mises-Fisher distribution of Scealy and Wood (2019).

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> loc, scale = torch.tensor([0.0, 0.6, 0.8]), torch.tensor([3.0, 1.0, 1.0])
    >>> wide = ScaledVonMisesFisher(loc, 50.0, scale)
    >>> [round(x, 2) for x in wide.sample((100_000,)).std(0).tolist()]
    [0.36, 0.12, 0.1]
    """

    arg_constraints: dict[str, Constraint] = {
        "loc": UnitVectors(),
        "concentration": Concentrations(0),
        "scale": Scales(),
    }
    shared: ClassVar[tuple[str, ...]] = ("dims", "device", "frame", "kappa_grad")
    loc: Tensor  # [*batch_shape, m]
    concentration: Tensor  # [*batch_shape]
    scale: Tensor  # [*batch_shape, m]
    frame: str
    kappa_grad: str

    def __init__(
        self,
        loc: Numbers,
        concentration: Numbers,
        scale: Numbers,
        frame: str = "mean",
        kappa_grad: str = "implicit",
        validate_args: bool | None = None,
    ) -> None:
        loc = parameter("loc", loc, like=concentration)
        if loc.dim() < 1:
            raise ValueError("loc has shape (); allowed: [..., m]")
        self.dims = checked_dims("the event shape of loc", loc.shape[-1:])
        concentration = parameter("concentration", concentration, like=loc)
        scale = parameter("scale", scale, like=loc)
        if scale.shape[-1:] != loc.shape[-1:]:
            raise ValueError(
                f"scale has shape {tuple(scale.shape)}; allowed: [..., {self.dims[0]}]"
            )
        for name, tensor in (("concentration", concentration), ("scale", scale)):
            if tensor.device != loc.device:
                raise ValueError(
                    f"{name} is on {tensor.device}; allowed: {loc.device}, the device of the rest"
                )
        for name, value, allowed in (
            ("frame", frame, ops.SCALE_FRAMES),
            ("kappa_grad", kappa_grad, ops.KAPPA_GRADIENTS),
        ):
            if value not in allowed:
                raise ValueError(f"{name} is {value!r}; allowed: {', '.join(allowed)}")
        self.device, self.frame, self.kappa_grad = loc.device, frame, kappa_grad
        shapes = loc.shape[:-1], concentration.shape, scale.shape[:-1]
        try:
            batch_shape = torch.broadcast_shapes(*shapes)
        except RuntimeError:
            raise ValueError(
                "loc, concentration and scale have batch shapes "
                f"{', '.join(str(tuple(shape)) for shape in shapes)}; "
                "allowed: shapes that broadcast"
            ) from None
        dtype = compute_dtype(loc, concentration, scale)
        self.loc = loc.expand(*batch_shape, -1)
        self.concentration = concentration.to(dtype).expand(batch_shape)
        self.scale = scale.to(dtype).expand(*batch_shape, -1)
        self._finish(batch_shape, validate_args)

    def __repr__(self) -> str:
        shapes = (tuple(x.shape) for x in (self.loc, self.concentration, self.scale))
        return "{}(loc: {}, concentration: {}, scale: {}, frame: {})".format(
            type(self).__name__, *shapes, self.frame
        )

    def expand(
        self, batch_shape: Sequence[int], _instance: Distribution | None = None
    ) -> "ScaledVonMisesFisher":
        """The distribution with a batch shape that its own broadcasts to; nothing is copied."""
        return self._expanded(ScaledVonMisesFisher, batch_shape, _instance)

    @property
    def _mean_direction(self) -> Tensor:
        """loc in the dtype of results; where that is wider than its own 16 bits, normalised."""
        mean = self.loc.to(self.scale.dtype)
        return normalised(mean, self.dims) if self.loc.dtype in REDUCED else mean

    @property
    def mode(self) -> Tensor:
        """loc, in the frame at the mean direction; where s is wide, see the class.

        Raises:
            NotImplementedError: in the fixed frame, which has no closed form.
        """
        if self.frame != "mean":
            raise NotImplementedError("the mode has no closed form in the fixed frame")
        return self._mean_direction

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws [*sample_shape, *batch_shape, m].

        Their gradients are unbiased (with `kappa_grad="naive"` that to the concentration is
        biased).
        """
        samples = math.prod(sample_shape)
        shape = torch.Size(sample_shape) + self.batch_shape + self.event_shape
        return self._draws(samples).z.reshape(shape) if samples else self.scale.expand(shape)

    def _draws(self, samples: int) -> ops.ScaledDraw:
        """Of the flattened batch, of a fresh stream."""
        parameters = self._mean_direction, self.concentration[..., None], 2 * self.scale.log()
        return scaled_draws(*parameters, self.dims, samples, self.frame, self.kappa_grad)

    def log_prob(self, value: Tensor) -> Tensor:
        """log f(x) + m log |A x| - log |A| at value [..., m], with x = A^-1 y / |A^-1 y|."""
        if self._validate_args:
            self._validate_sample(value)
        dtype = compute_dtype(value, self.scale)
        v, log_length = self._pulled_back(value.to(dtype))
        density = log_density_to_uniform(self.concentration[..., None], v[..., None], self.dims)
        m = self.dims[0]
        return density - log_area(self.dims) - m * log_length - self._log_volume()

    def _log_volume(self) -> Tensor:
        """log |A|."""
        logs = self.scale.log().sum(-1)
        if self.frame == "fixed":
            return logs
        return logs + (self._mean_direction.square() / self.scale).sum(-1).log()

    def _pulled_back(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """v = 1 - loc.x and log |A^-1 y|, which is -log |A x|."""
        mean, scale = self._mean_direction, self.scale
        if self.frame == "fixed":
            x = value / scale
            length = torch.linalg.vector_norm(x, dim=-1)
            return (x / length[..., None] - mean).square().sum(-1) / 2, length.log()
        apart = value - mean
        along = (apart * mean).sum(-1, keepdim=True)
        cosine = 1 - apart.square().sum(-1) / 2
        # The tangent t with P diag(s) t = P y: what P takes off is a multiple of loc.
        part = (apart - along * mean) / scale
        weight = mean / scale
        tangent = (
            part
            - (part * mean).sum(-1, keepdim=True) / (weight * mean).sum(-1, keepdim=True) * weight
        )
        square = tangent.square().sum(-1)
        length = torch.hypot(cosine, square.sqrt())
        near = square / (length * (length + cosine.abs()))
        return torch.where(cosine > 0, near, 2 - near), length.log()

    def kl_to_uniform(self, samples: int = 1024) -> tuple[Tensor, Tensor]:
        """The divergence to the uniform distribution, and the standard error of its estimate.

        KL of x and log |A| are exact; m E log |A x| is a mean over draws, with gradients, which are
        unbiased.

        Args:
            samples: at least 2.

        Returns:
            [*batch_shape] each, the second without gradients.
        """
        draw = self._draws(samples)
        error = draw.stretch[..., 0].std(0) / math.sqrt(samples)
        return draw.kl[..., 0].reshape(self.batch_shape), error.reshape(self.batch_shape)
