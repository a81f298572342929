"""The kernels as torch ops: an op a file, with its value, shapes without data, gradient, batching.

Every op takes float32 or float64 tensors on any device that the library was built for, checks
shapes, dtypes and devices, and never reads a value on the host. `m` and every entry of `dims` is
the AMBIENT dimension of a shell: the sphere S^{m-1} in R^m. `hvae.reference` has the same functions
in plain torch.
"""

from hvae.ops.bernoulli import bernoulli_log_prob
from hvae.ops.columns import log_area, vmf
from hvae.ops.elements import bessel
from hvae.ops.linear import PRODUCTS, available_products, linear
from hvae.ops.log_hyp0f1 import log_hyp0f1
from hvae.ops.log_mixture import log_mixture, mixture_sums
from hvae.ops.numbers import normal, uniform
from hvae.ops.power_angle import power_angle
from hvae.ops.quantities import QUANTITIES
from hvae.ops.sample import KAPPA_GRADIENTS, sample
from hvae.ops.scaled_sample import MOST_LOG_SCALE, SCALE_FRAMES, ScaledDraw, scaled_sample

__all__ = [
    "KAPPA_GRADIENTS",
    "MOST_LOG_SCALE",
    "PRODUCTS",
    "QUANTITIES",
    "SCALE_FRAMES",
    "ScaledDraw",
    "available_products",
    "bernoulli_log_prob",
    "bessel",
    "linear",
    "log_area",
    "log_hyp0f1",
    "log_mixture",
    "mixture_sums",
    "normal",
    "power_angle",
    "sample",
    "scaled_sample",
    "uniform",
    "vmf",
]
