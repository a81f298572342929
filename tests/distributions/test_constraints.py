"""What hvae.distributions refuses, in one line that says what is allowed."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from hvae.distributions import (
    HypersphericalUniform,
    HypersphericalUniformProduct,
    VonMisesFisher,
    VonMisesFisherProduct,
)

LOC, KAPPA = torch.eye(3)[:2], torch.tensor([1.0, 2.0])


def vmf(loc=LOC, kappa=KAPPA, **more):
    return VonMisesFisher(loc, kappa, **more)


def product(loc=LOC, kappa=KAPPA[:, None], dims=(3,)):
    return VonMisesFisherProduct(loc, kappa, dims)


@pytest.mark.parametrize(
    "call, error, words",
    [
        (
            lambda: vmf(2 * LOC),
            ValueError,
            r"loc is, at \(0,\), a vector of length 2.0; allowed: l",
        ),
        (lambda: vmf(LOC * 0), ValueError, "a vector of length 0.0; allowed: length 1"),
        (lambda: vmf(LOC * math.nan), ValueError, "a vector of length nan; allowed: length 1"),
        (
            lambda: vmf(kappa=-KAPPA),
            ValueError,
            r"concentration is, at \(0,\), -1.0; allowed: 0 <=",
        ),
        (lambda: vmf(kappa=math.nan), ValueError, "concentration is, .*nan; allowed: 0 <="),
        (lambda: vmf(LOC[0], math.inf), ValueError, "concentration is inf; allowed: 0 <="),
        (
            lambda: vmf(LOC[0] * 2, 1.0),
            ValueError,
            "loc is a vector of length 2.0; allowed: length 1",
        ),
        (lambda: vmf(kappa=KAPPA * math.inf), ValueError, "concentration is, .*inf; allowed: 0 <="),
        (lambda: vmf(LOC[:, :1]), ValueError, r"event shape of loc is \(1,\); allowed: .* from 2"),
        (lambda: vmf(LOC[0, 0]), ValueError, r"loc has shape \(\); allowed"),
        (lambda: vmf(torch.ones(1, 40_000)), ValueError, r"is \(40000,\); allowed: .* to 32768"),
        (lambda: vmf(LOC.long()), TypeError, "loc has dtype torch.int64; allowed: torch.float32"),
        (lambda: vmf(LOC.numpy()), TypeError, "loc is a ndarray; allowed: a floating tensor"),
        (lambda: vmf([[1.0, 0.0], [1.0]]), TypeError, "loc is no array of numbers: .*; allowed"),
        (lambda: vmf(kappa=["1"]), TypeError, "concentration is no array of numbers: .*; allowed"),
        (lambda: vmf(2.0), ValueError, r"loc has shape \(\); allowed"),
        (lambda: vmf(kappa=KAPPA.int()), TypeError, "concentration has dtype torch.int32; allowed"),
        (lambda: vmf(kappa=True), TypeError, "concentration is a bool; allowed"),
        (lambda: vmf(kappa=KAPPA.to("meta")), ValueError, "concentration is on meta; allowed: cpu"),
        (lambda: vmf(kappa=torch.ones(3)), ValueError, r"batch shapes \(2,\) and \(3,\); allowed"),
        (lambda: vmf(kappa_grad="exact"), ValueError, "'exact'; allowed: implicit, naive"),
        (
            lambda: vmf().log_prob(LOC[:, :2]),
            ValueError,
            r"value has shape \(2, 2\); allowed: \[.*3",
        ),
        (lambda: vmf().log_prob(LOC * 1.001), ValueError, r"value is, at \(0,\), .*1.001; allowed"),
        (lambda: vmf().log_prob(LOC.long()), TypeError, "value has dtype torch.int64; allowed"),
        (lambda: vmf().log_prob(1.0), TypeError, "value is a float; allowed"),
        (lambda: vmf().log_prob(LOC.to("meta")), ValueError, "value is on meta; allowed: cpu"),
        (lambda: vmf().log_prob(torch.eye(3)), ValueError, "not broadcastable"),
        (lambda: HypersphericalUniform(1), ValueError, r"dim is \(1,\); allowed: .* from 2"),
        (lambda: HypersphericalUniform(2.5), TypeError, r"dim is \(2.5,\); allowed: integers"),
        (lambda: HypersphericalUniform(3, torch.int64), TypeError, "dtype is torch.int64; allowed"),
        (lambda: HypersphericalUniform(3).log_prob(2 * LOC), ValueError, "length 2.0; allowed"),
        (lambda: HypersphericalUniformProduct(()), ValueError, r"dims is \(\); allowed"),
        (lambda: HypersphericalUniformProduct(3), TypeError, "dims is 3; allowed: integers"),
        (lambda: product(dims=(2,)), ValueError, r"loc has shape \(2, 3\); allowed: \[..., 2\]"),
        (lambda: product(dims=(2, 1)), ValueError, r"dims is \(2, 1\); allowed: .* from 2"),
        (lambda: product(kappa=KAPPA), ValueError, r"concentration has shape \(2,\); allowed"),
        (lambda: product(kappa=-KAPPA[:, None]), ValueError, r"at \(0,\), \[-1.0\]; allowed: 0 <="),
        (lambda: product(LOC + 1), ValueError, "allowed: length 1"),
        (lambda: VonMisesFisher.fit(LOC[0]), ValueError, r"samples has shape \(3,\); allowed"),
        (lambda: VonMisesFisher.fit(LOC[:0]), ValueError, r"samples has shape \(0, 3\); allowed"),
        (lambda: VonMisesFisher.fit(LOC * 2), ValueError, "samples is, .* length 2.0; allowed"),
        (
            lambda: VonMisesFisher.fit(LOC.int()),
            TypeError,
            "samples has dtype torch.int32; allowed",
        ),
        (lambda: VonMisesFisher.fit(LOC[:1]), ValueError, "all one point"),
        (
            lambda: VonMisesFisher.fit(LOC, KAPPA[:1]),
            ValueError,
            r"weights has shape \(1,\); allowed",
        ),
        (
            lambda: VonMisesFisher.fit(LOC, -KAPPA),
            ValueError,
            "weights has minimum -2.0, .*allowed",
        ),
        (lambda: VonMisesFisher.fit(LOC, 0 * KAPPA), ValueError, "allowed: .*a positive sum"),
        (lambda: VonMisesFisher.fit(LOC, KAPPA / 0), ValueError, "maximum inf; allowed: finite"),
        (
            lambda: kl_divergence(vmf(), HypersphericalUniform(4)),
            ValueError,
            r"has dims \(4,\); allowed: \(3,\)",
        ),
        (
            lambda: kl_divergence(vmf(), Normal(0.0, 1.0)),
            NotImplementedError,
            "No KL",
        ),
    ],
)
def test_refusals(call, error, words):
    """One line that names the argument, its value and what is allowed."""
    with torch.device("cpu"), pytest.raises(error, match=words) as caught:
        call()
    assert error is NotImplementedError or "\n" not in str(caught.value)


def test_validation_can_be_turned_off():
    vmf(2 * LOC, -KAPPA, validate_args=False).log_prob(3 * LOC)
    checked = vmf(validate_args=True).expand((4, 2))
    with pytest.raises(ValueError, match="allowed: length 1"):
        checked.log_prob(2 * LOC)


def test_tolerance_of_unit_vectors(dtype):
    """1e-5: what a float32 normalisation leaves passes, in either precision."""
    loc = torch.nn.functional.normalize(torch.randn(50, 4096), dim=-1).to(dtype)
    vmf = VonMisesFisher(loc, 1.0)
    vmf.log_prob(loc * (1 + 9e-6))
    with pytest.raises(ValueError, match="allowed: length 1"):
        vmf.log_prob(loc * (1 + 1.2e-5))
