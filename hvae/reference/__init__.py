"""The ops of `hvae.ops` in plain torch, written as the mathematics reads: for readers and tests.

Every function has the name and the signature of its kernel, runs on any device and computes in
float64 whatever the dtype that goes in and comes out, so a kernel is held against better values
than its own. The random integers are the kernels' own: a float32 draw is the float64 value of what
its 31-bit uniforms mean. Nothing here is fast.

Limits, measured against certified tables where a value is a normal number: `vmf` is good to 1e-13
relative (dA, dKL: 2e-12) for m from 2 to 2e5 and kappa = 0 or 1e-300 to 1e12; `dtheta_dkappa` to
1e-12. kappa < 0 and NaN give NaN.
"""

from hvae.reference.bernoulli import bernoulli_log_prob
from hvae.reference.columns import log_area, vmf
from hvae.reference.implicit import dtheta_dkappa
from hvae.reference.numbers import normal, uniform
from hvae.reference.power_angle import power_angle, power_angle_slope
from hvae.reference.sample import sample
from hvae.reference.scaled_sample import scaled_sample
from hvae.reference.stream import philox

__all__ = [
    "bernoulli_log_prob",
    "dtheta_dkappa",
    "log_area",
    "normal",
    "philox",
    "power_angle",
    "power_angle_slope",
    "sample",
    "scaled_sample",
    "uniform",
    "vmf",
]
