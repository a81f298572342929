"""The special functions of the von Mises-Fisher distribution as one writes them with SciPy."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, ive

Array = npt.NDArray[Any]


def quantity(name: str, nu: Array, k: Array) -> Array:
    """The logarithm of ive, and ratios of ive.

    Args:
        name: of a quantity of `hvae.ops.bessel`, "log_iv" or "log_ive".
        nu, k: [N], orders and arguments.
    """
    with np.errstate(all="ignore"):
        scaled = np.log(ive(nu, k))
        log_norm = gammaln(nu + 1) + nu * np.log(2 / k) + scaled + k
        mean = ive(nu + 1, k) / ive(nu, k)
        slope = 1 - mean * mean - (2 * nu + 1) * mean / k
        values: dict[str, Array] = {
            "L": log_norm,
            "k_minus_L": k - log_norm,
            "A": mean,
            "one_minus_A": 1 - mean,
            "dA": slope,
            "KL": k * mean - log_norm,
            "dKL": k * slope,
            "log_iv": scaled + k,
            "log_ive": scaled,
        }
    return values[name]


def divergence(nu: Array, k1: Array, k2: Array) -> Array:
    """KL between two of one mean direction: L(k2) - L(k1) - A(k1) (k2 - k1)."""
    with np.errstate(all="ignore"):
        rise = quantity("L", nu, k2) - quantity("L", nu, k1)
        result: Array = rise - quantity("A", nu, k1) * (k2 - k1)
    return result
