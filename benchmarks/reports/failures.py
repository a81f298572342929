"""Where the formulas that von Mises-Fisher code is usually made of fail, measured beside hvae.

    python -m hvae.benchmarks.reports.failures

The usual side is Wood's rejection and the gradient through the accepted proposal
(`hvae.benchmarks.baselines`), and the formulas below, each as one writes it down from the density.
The last line is one JSON document, null where a number is not finite. docs/distributions.md quotes
it.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from scipy.special import gammaln, ive
from torch import Tensor
from torch.distributions import kl_divergence

from hvae import ops
from hvae.distributions import HypersphericalUniform, VonMisesFisher

from ..baselines import von_mises_fisher as usual
from ..baselines.reflection import reflected
from . import command

DRAWS = 200_000
Rows = Iterator[dict[str, float]]


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(
        command.Options("failures", "The usual formulas beside hvae."), _report, arguments
    )


def _report(options: argparse.Namespace) -> None:
    torch.manual_seed(0)
    document = {}
    for measure in MEASURES:
        print(f"\n{(measure.__doc__ or measure.__name__).splitlines()[0]}")
        rows = list(measure())
        print("  " + "".join(f"{name:>18}" for name in rows[0]))
        for row in rows:
            print("  " + "".join(f"{value:18.6g}" for value in row.values()))
        document[measure.__name__] = [
            {name: value if math.isfinite(value) else None for name, value in row.items()}
            for row in rows
        ]
    print(json.dumps(document, allow_nan=False))


def special(m: int, k: float, quantity: str) -> float:
    return ops.vmf(torch.tensor([k], dtype=torch.float64), [m], quantity)[0].item()


def axis(m: int, index: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """The basis vector `index` of R^m."""
    return torch.eye(m, dtype=dtype)[index]


# ---- gradients -----------------------------------------------------------------------------------


def gradient_in_kappa() -> Rows:
    """dE[mu.z]/dkappa as a gradient of draws sees it, a share of the true A'."""
    for m in (2, 4, 5, 11, 41):
        for k in (1.0, 2.0, 5.0, 20.0, 100.0):
            loc = axis(m, m - 1)
            true = special(m, k, "dA")
            ours = slopes(loc, k, lambda loc, k: VonMisesFisher(loc, k[:, 0]).rsample())
            theirs = slopes(loc, k, lambda loc, k: usual.VonMisesFisher(loc, k).rsample())
            error = (DRAWS**-0.5 / true) * ours.std().item()
            yield {
                "m": m,
                "kappa": k,
                "usual": theirs.mean().item() / true,
                "hvae": ours.mean().item() / true,
                "standard error": error,
            }


def slopes(loc: Tensor, k: float, draw: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """d(mu.z)/dkappa of each of DRAWS draws."""
    kappa = torch.full((DRAWS, 1), k, dtype=torch.float64, requires_grad=True)
    z = draw(loc.expand(DRAWS, -1), kappa)
    return torch.autograd.grad((z @ loc).sum(), kappa)[0]


# ---- draws ---------------------------------------------------------------------------------------


def reflection_near_an_axis() -> Rows:
    """A draw carried from e_1 to mu by a reflection, mu at an angle from e_1: |mu.z - w|, float32.

    `plain` divides by |e_1 - mu|, `padded` by |e_1 - mu| + 1e-5; hvae makes no reflection, so w is
    its own cos theta.
    """
    m = 11
    for angle in (0.0, 1e-7, 1e-5, 1e-3, 1.0):
        mu = math.cos(angle) * axis(m, 0) + math.sin(angle) * axis(m, 1)
        mu = mu.float().expand(1000, m)
        kappa = torch.full((1000,), 10.0)
        y = VonMisesFisher(axis(m, 0, torch.float32), kappa).sample()
        u = axis(m, 0, torch.float32) - mu
        u = u / u.norm(dim=-1, keepdim=True)
        plain = y - 2 * (u * y).sum(-1, keepdim=True) * u
        z, v, *_ = ops.sample(mu, kappa[:, None], [m], torch.zeros(4, dtype=torch.int64))
        yield {
            "angle": angle,
            "plain": off(plain, mu, y[:, 0]),
            "padded": off(reflected(y, mu), mu, y[:, 0]),
            "hvae": off(z[0], mu, 1 - v[0, :, 0]),
        }


def off(z: Tensor, mu: Tensor, w: Tensor) -> float:
    return ((z.double() * mu.double()).sum(-1) - w.double()).abs().max().item()


def angles_in_float32() -> Rows:
    """20,000 draws on the circle in float32: how many angles to mu are there, and share at 0."""
    loc = axis(2, 1, torch.float32).expand(20_000, 2)
    for k in (1.0, 1e2, 1e4, 1e6, 1e8):
        kappa = torch.full((20_000, 1), k)
        w = usual.VonMisesFisher(loc, kappa).radial()
        theta = ops.sample(loc, kappa, [2], torch.zeros(4, dtype=torch.int64))[2]
        yield {
            "kappa": k,
            "usual": w.unique().numel(),
            "usual at 0": (w == 1).float().mean().item(),
            "hvae": theta.unique().numel(),
            "hvae at 0": (theta == 0).float().mean().item(),
        }


# ---- densities -----------------------------------------------------------------------------------


def log_density_in_float32() -> Rows:
    """Largest error of log_prob at 20,000 draws in float32, in nats; usual: k mu.z - L - log S."""
    m = 11
    loc = torch.nn.functional.normalize(torch.randn(20_000, m), dim=-1)
    for k in (1.0, 1e2, 1e4, 1e6, 1e8):
        vmf = VonMisesFisher(loc, torch.full((20_000,), k))
        z = vmf.sample()
        true = exact_log_prob(loc, k, z)
        norm = ops.vmf(vmf.concentration[:, None], [m], "L")[0][:, 0]
        dot = vmf.concentration * (loc * z).sum(-1) - norm - ops.log_area(m)
        yield {
            "kappa": k,
            "usual": (dot.double() - true).abs().max().item(),
            "hvae": (vmf.log_prob(z).double() - true).abs().max().item(),
        }


def exact_log_prob(loc: Tensor, k: float, z: Tensor) -> Tensor:
    """In float64, at the directions of z and loc."""
    loc, z = (torch.nn.functional.normalize(x.double(), dim=-1) for x in (loc, z))
    return VonMisesFisher(loc, k).log_prob(z)


def largest_dimension() -> Rows:
    """The largest ambient dimension whose log I_nu(kappa) is finite from SciPy's ive; hvae: any."""
    dims = np.arange(2, 20_000)
    for k in (1e-3, 1.0, 10.0, 100.0, 1000.0):
        with np.errstate(divide="ignore"):
            finite = np.isfinite(np.log(ive(dims / 2 - 1, k)))
        ours = ops.bessel(torch.from_numpy(dims / 2 - 1), torch.full((len(dims),), k).double(), "L")
        yield {
            "kappa": k,
            "usual": int(dims[finite].max()),
            "hvae": int(dims[ours[0].isfinite().numpy()].max()),
        }


def closed_form_on_the_sphere() -> Rows:
    """Error of log_prob at mu on S^2 in float32, in nats; usual: k + log(k/(4 pi sinh k))."""
    for k in (1e-6, 1e-3, 1.0, 50.0, 88.0, 90.0, 1000.0):
        kappa, mu = torch.tensor(k), axis(3, 0, torch.float32)
        true = special(3, kappa.item(), "k_minus_L") - ops.log_area(3)
        theirs = kappa + torch.log(kappa / (4 * math.pi * torch.sinh(kappa)))
        ours = VonMisesFisher(mu, kappa).log_prob(mu)
        yield {"kappa": k, "usual": abs(theirs.item() - true), "hvae": abs(ours.item() - true)}


# ---- divergences ---------------------------------------------------------------------------------


def divergence_to_uniform() -> Rows:
    """Relative error of KL(vMF || uniform) in float64; the usual one is k A + log C + log |S|."""
    m = 11
    for k in (1e-8, 1e-6, 1e-4, 1e-2, 1.0, 1e2, 1e4):
        true = small_divergence(m, k) if k < 0.1 else special(m, k, "KL")
        with np.errstate(all="ignore"):
            mean = ive(m / 2, k) / ive(m / 2 - 1, k)
            log_c = (m / 2 - 1) * np.log(k) - m / 2 * np.log(2 * np.pi)
            log_c -= np.log(ive(m / 2 - 1, k)) + k
            area = np.log(2) + m / 2 * np.log(np.pi) - gammaln(m / 2)
            theirs = k * mean + log_c + area
        vmf = VonMisesFisher(axis(m, 0), k)
        ours = kl_divergence(vmf, HypersphericalUniform(m, dtype=torch.float64)).item()
        yield {"kappa": k, "usual": abs(theirs / true - 1), "hvae": abs(ours / true - 1)}


def small_divergence(m: int, k: float) -> float:
    """sum_j (2j - 1) l_j k^(2j), KL = k A - L of L = sum_j l_j k^(2j); four terms serve k < 0.1."""
    l1 = 1 / (2 * m)
    l2 = -1 / (4 * m * m * (m + 2))
    l3 = 1 / (3 * m**3 * (m + 2) * (m + 4))
    l4 = -(5 * m + 12) / (8 * m**4 * (m + 2) ** 2 * (m + 4) * (m + 6))
    return k * k * (l1 + k * k * (3 * l2 + k * k * (5 * l3 + k * k * 7 * l4)))


def divergence_of_near_concentrations() -> Rows:
    """Relative error of KL(vMF || vMF), one mu, kappa 1e6 and 1e6 (1 + step), on S^2, float64."""
    k1 = 1e6
    for step in (1e-1, 1e-3, 1e-5, 1e-7, 1e-9):
        k2 = k1 * (1 + step)
        # L = k - log 2k + log(1 - exp(-2k)), so what is left is x - log(1 + x), x = k2/k1 - 1.
        x = (k2 - k1) / k1
        true = sum((-x) ** j / j for j in range(20, 1, -1))
        norms = [np.log(ive(0.5, k)) + k - 0.5 * np.log(k) for k in (k1, k2)]
        theirs = norms[1] - norms[0] - ive(1.5, k1) / ive(0.5, k1) * (k2 - k1)
        p, q = (VonMisesFisher(axis(3, 0), k) for k in (k1, k2))
        ours = kl_divergence(p, q).item()
        yield {"step": step, "usual": abs(theirs / true - 1), "hvae": abs(ours / true - 1)}


MEASURES = (
    gradient_in_kappa,
    reflection_near_an_axis,
    angles_in_float32,
    log_density_in_float32,
    largest_dimension,
    closed_form_on_the_sphere,
    divergence_to_uniform,
    divergence_of_near_concentrations,
)


if __name__ == "__main__":
    sys.exit(main())
