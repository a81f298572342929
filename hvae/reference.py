"""The ops of `hvae.ops` in plain torch, written as the mathematics reads: for readers and tests.

Every function has the name and the signature of its kernel, runs on any device and computes in
float64 whatever the dtype that goes in and comes out, so a kernel is held against better values
than its own. The random integers are the kernels' own: a float32 draw is the float64 value of what
its 31-bit uniforms mean. Nothing here is fast.

Limits, measured against tests/tables where a value is a normal number: `vmf` is good to 1e-13
relative (dA, dKL: 2e-12) for m from 2 to 2e5 and kappa = 0 or 1e-300 to 1e12; `dtheta_dkappa` to
1e-12. kappa < 0 and NaN give NaN.
"""

import functools
import math
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import logsigmoid

from hvae.errors import Refused

# --------------------------------------------------------------------------------------------------
# Special functions. nu = m/2 - 1, L(k) = log 0F1(; nu+1; k^2/4), A = L'.

SERIES_TERMS = 80
DEBYE_TERMS = 14
SERIES_RADIUS = 32.0


def log_area(m: int) -> float:
    """log |S^(m-1)|, the area of the unit sphere in R^m (a circle's circumference at m = 2)."""
    return math.log(2) + m / 2 * math.log(math.pi) - math.lgamma(m / 2)


@functools.lru_cache
def _debye_coefficients() -> np.ndarray:
    """c[k, i] with log sum_k U_k(t)/nu^k = sum_k r^-k sum_i c[k, i] t^(2i), t = nu/r (DLMF 10.41).

    U_k by the recurrence DLMF 10.41.9, the logarithm by k D_k = k U_k - sum_{j<k} j D_j U_{k-j}.
    """
    debye = [{0: Fraction(1)}]  # polynomials in t: {power: coefficient}
    for _ in range(DEBYE_TERMS):
        following = {}
        for p, c in debye[-1].items():
            for power, factor in (
                (p + 1, Fraction(p, 2) + Fraction(1, 8 * (p + 1))),
                (p + 3, -Fraction(p, 2) - Fraction(5, 8 * (p + 3))),
            ):
                following[power] = following.get(power, 0) + c * factor
        debye.append(following)
    logs = [{}]
    table = np.zeros((DEBYE_TERMS + 1, DEBYE_TERMS + 1))
    for k in range(1, DEBYE_TERMS + 1):
        row = dict(debye[k])
        for j in range(1, k):
            for p, a in logs[j].items():
                for q, b in debye[k - j].items():
                    row[p + q] = row.get(p + q, 0) - Fraction(j, k) * a * b
        logs.append(row)
        for power, c in row.items():
            table[k, (power - k) // 2] = float(c)
    return table


def _stirling_remainder(nu: float) -> float:
    """lgamma(nu+1) - (log(2 pi nu)/2 + nu log nu - nu), DLMF 5.11.1, for nu > 0."""
    if nu < 10:
        return math.lgamma(nu + 1) - (math.log(2 * math.pi * nu) / 2 + nu * math.log(nu) - nu)
    bernoulli = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
    return sum(c / nu ** (2 * i + 1) for i, c in enumerate(bernoulli))


def _series(nu: float, k: Tensor) -> dict[str, Tensor]:
    """Small arguments: f_n = F^(n)(y)/F(y) with F = 0F1(; nu+1; .) (DLMF 16.2.1) and y = k^2/4."""
    y = k * k / 4
    j = torch.arange(1, SERIES_TERMS, dtype=torch.float64, device=k.device)

    def tail(b: float) -> Tensor:
        """0F1(; b; y) - 1."""
        return torch.cumprod(y[..., None] / (j * (b - 1 + j)), -1).sum(-1)

    excess = tail(nu + 1)
    f1 = (1 + tail(nu + 2)) / ((nu + 1) * (1 + excess))
    f2 = (1 + tail(nu + 3)) / ((nu + 1) * (nu + 2) * (1 + excess))
    f3 = (1 + tail(nu + 4)) / ((nu + 1) * (nu + 2) * (nu + 3) * (1 + excess))
    second, third = f2 - f1**2, f3 - 3 * f1 * f2 + 2 * f1**3  # derivatives of log F
    log_norm = torch.log1p(excess)
    return {
        "L": log_norm,
        "k_minus_L": k - log_norm,
        "A/k": f1 / 2,
        "A'": f1 / 2 + y * second,
        "A''": k / 2 * (1.5 * second + y * third),
        "KL": 2 * y * f1 - log_norm,
    }


def _uniform_expansion(nu: float, k: Tensor) -> dict[str, Tensor]:
    """Large r = sqrt(nu^2 + k^2): the logarithm of DLMF 10.41.3, in 1/r and T = (nu/r)^2.

    k d/dk of r^-a T^i is -(a + 2i) q r^-a T^i with q = (k/r)^2, so D and its derivatives are the
    same double sum weighted with powers of a + 2i: s_0 = D, k ds_n/dk = -q s_{n+1}.
    """
    r = torch.hypot(k, torch.full_like(k, nu))
    q, t = (k / r) ** 2, nu / r
    c = torch.from_numpy(_debye_coefficients()).to(k.device)
    powers = torch.arange(DEBYE_TERMS + 1, dtype=torch.float64, device=k.device)
    weight = powers[:, None] + 2 * powers
    basis = r[..., None] ** -powers
    in_t = t[..., None] ** (2 * powers)
    s0, s1, s2, s3 = (
        torch.einsum("...a,ai,...i->...", basis, c * weight**n, in_t) for n in range(4)
    )
    growth = k * k / (r + nu)  # r - nu
    big_t, log_r = t * t, torch.log(r)
    if nu < 1:  # nu log((r+nu)/(2 nu)) + log(r/nu)/2 - delta, with no division by nu
        gap = nu * torch.log((r + nu) / 2) + (log_r + math.log(2 * math.pi)) / 2
        gap = gap - math.lgamma(nu + 1) - nu
    else:
        d = growth / nu
        gap = nu * torch.log1p(d / 2) + torch.log1p(d) / 2 - _stirling_remainder(nu)
    k_mean = growth - q / 2 - q * s1
    slope = nu * growth / r + q * (0.5 - big_t) + q * (1 - 2 * big_t) * s1 + q * q * s2  # k^2 A'
    curl = (  # k d(k^2 A')/dk
        nu * t * q
        + 2 * big_t * q * (0.5 - big_t + q)
        + (2 * big_t * (1 - 2 * big_t) + 4 * big_t * q) * q * s1
        + (4 * big_t - (1 - 2 * big_t)) * q * q * s2
        - q**3 * s3
    )
    return {
        "L": growth - gap + s0,
        "k_minus_L": nu * (r + k - nu) / (r + k) + gap - s0,
        "A/k": k_mean / k**2,
        "A'": slope / k**2,
        "A''": (curl - 2 * slope) / k**3,
        "KL": gap - q / 2 - q * s1 - s0,
    }


def _log_norm_family(m: int, k: Tensor) -> dict[str, Tensor]:
    """L, k - L, A/k, A', A'' and KL at one ambient dimension m; k float64 of any shape."""
    nu = m / 2 - 1
    k = torch.where(k >= 0, k, torch.nan)
    small = (torch.hypot(k, torch.full_like(k, nu)) < SERIES_RADIUS) | (k * k < 32 * (nu + 1))
    near = _series(nu, torch.where(small, k, 0.0))
    # The branch not taken gets a harmless argument, so that its gradient stays finite.
    far = _uniform_expansion(nu, torch.where(small, SERIES_RADIUS + 8 * math.sqrt(nu + 1), k))
    return {name: torch.where(small, near[name], far[name]) for name in near}


def _value_and_derivative(m: int, k: Tensor, quantity: str) -> tuple[Tensor, Tensor]:
    family = _log_norm_family(m, k)
    slope, curvature = family["A'"], family["A''"]
    mean = k * family["A/k"]
    one_minus = (slope + (m - 1) * family["A/k"]) / (1 + mean)
    pairs = {
        "L": (family["L"], mean),
        "k_minus_L": (family["k_minus_L"], one_minus),
        "A": (mean, slope),
        "one_minus_A": (one_minus, -slope),
        "dA": (slope, curvature),
        "KL": (family["KL"], k * slope),
        "dKL": (k * slope, slope + k * curvature),
    }
    if quantity not in pairs:
        raise Refused(f"quantity {quantity!r} is unknown; allowed: {', '.join(pairs)}")
    return pairs[quantity]


def vmf(kappa: Tensor, dims: list[int], quantity: str) -> tuple[Tensor, Tensor]:
    """A quantity of vMF shells and its derivative in kappa.

    L = log 0F1(; m/2; kappa^2/4), so that the density on the sphere is exp(kappa mu.z - L)/area;
    A = L' = E[mu.z]; dA = A'; KL = kappa A - L, the divergence from the uniform distribution.

    Args:
        kappa: [..., S] concentrations, float32 or float64.
        dims: S ambient dimensions, each >= 2.
        quantity: "L", "k_minus_L", "A", "one_minus_A", "dA", "KL" or "dKL".

    Returns:
        (value, derivative), each [..., S] in kappa's dtype, both differentiable.
    """
    columns = [
        _value_and_derivative(m, k, quantity)
        for m, k in zip(dims, kappa.double().unbind(-1), strict=True)
    ]
    value, derivative = (torch.stack(c, -1).to(kappa.dtype) for c in zip(*columns, strict=True))
    return value, derivative


# --------------------------------------------------------------------------------------------------
# Random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011), words held in int64.

WORD = 0xFFFFFFFF
TANGENT_BLOCK = 32768


def philox(counter: Tensor, key: Tensor | int) -> Tensor:
    """counter [..., 4] of words in 0 .. 2^32 - 1 (int64), a 64-bit key -> [..., 4] random words."""
    c0, c1, c2, c3 = counter.unbind(-1)
    k0, k1 = key & WORD, (key >> 32) & WORD
    for _ in range(10):
        # An int64 product wraps; its 64 bits are those of the unsigned product.
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1 = ((p1 >> 32) & WORD) ^ c1 ^ k0, p1 & WORD
        c2, c3 = ((p0 >> 32) & WORD) ^ c3 ^ k1, p0 & WORD
        k0, k1 = (k0 + 0x9E3779B9) & WORD, (k1 + 0xBB67AE85) & WORD
    return torch.stack((c0, c1, c2, c3), -1)


def _words(rng: Tensor, row: Tensor, sample: Tensor, shell: int, block: Tensor | int) -> Tensor:
    """The four words of a block; row, sample and block broadcast."""
    key, step, row0, sample0 = rng.unbind()
    block = torch.as_tensor(block, device=rng.device)
    counter = torch.broadcast_tensors(row0 + row, sample0 + sample, shell * 65536 + block, step)
    return philox(torch.stack(counter, -1) & WORD, key)


def _bits(dtype: torch.dtype) -> int:
    """Random bits of a uniform of this dtype."""
    return 31 if dtype == torch.float32 else 52


def _integers(words: Tensor, dtype: torch.dtype) -> Tensor:
    """[..., 4] words -> integers of _bits(dtype) bits: of one word each (float32) or of two."""
    if dtype == torch.float32:
        return words >> 1
    return (words[..., 0::2] << 20) | (words[..., 1::2] >> 12)


def _open(n: Tensor, bits: int) -> Tensor:
    """The uniform (n + 1/2) 2^-bits, inside (0, 1); 1 minus it is that of 2^bits - 1 - n."""
    return (n.double() + 0.5) * 2.0**-bits


def _cos_sin_turn(n: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """cos and sin of 2 pi _open(n): the nearest quarter turn is taken off as an integer."""
    quarter = (n + (1 << (bits - 3))) >> (bits - 2)
    rest = n - (quarter << (bits - 2))
    angle = (rest.double() + 0.5) * (2.0**-bits * 2 * math.pi)
    c, s = torch.cos(angle), torch.sin(angle)
    odd, half = (quarter & 1) == 1, (quarter & 2) == 2
    c, s = torch.where(odd, -s, c), torch.where(odd, c, s)
    return torch.where(half, -c, c), torch.where(half, -s, s)


def _normals(words: Tensor, dtype: torch.dtype) -> Tensor:
    """Box-Muller, [..., 4] words -> [..., 4] normals in float32, [..., 2] in float64."""
    n = _integers(words, dtype)
    radius = torch.sqrt(-2 * torch.log(_open(n[..., 0::2], _bits(dtype))))
    c, s = _cos_sin_turn(n[..., 1::2], _bits(dtype))
    return torch.stack((radius * c, radius * s), -1).flatten(-2)


def _places(rng: Tensor, samples: int, rows: int) -> tuple[Tensor, Tensor]:
    """(row, sample) index tensors that broadcast to [samples, rows]."""
    row = torch.arange(rows, device=rng.device)
    return row, torch.arange(samples, device=rng.device)[:, None]


def _fill(rng, row, sample, shell, base, n, dtype, numbers) -> Tensor:
    """[..., n] numbers of consecutive blocks from `base` on; row and sample broadcast to [...]."""
    per_block = 4 if dtype == torch.float32 else 2
    blocks = base + torch.arange(-(-n // per_block), device=rng.device)
    words = _words(rng, row[..., None], sample[..., None], shell, blocks)
    return numbers(words, dtype).flatten(-2)[..., :n]


def normal(
    rng: Tensor,
    samples: int,
    rows: int,
    n: int,
    shell: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Standard normals [samples, rows, n] of the stream `rng` (int64[4], see hvae.random)."""
    row, sample = _places(rng, samples, rows)
    return _fill(rng, row, sample, shell, 0, n, dtype, _normals).to(dtype)


def uniform(
    rng: Tensor,
    samples: int,
    rows: int,
    n: int,
    shell: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Uniforms [samples, rows, n] of the stream `rng`."""

    def numbers(words, dtype):
        return _open(_integers(words, dtype), _bits(dtype))

    row, sample = _places(rng, samples, rows)
    return _fill(rng, row, sample, shell, 0, n, dtype, numbers).to(dtype)


# --------------------------------------------------------------------------------------------------
# Draws: the angle to the mean direction (Wood 1994; closed form at m = 3), then a tangent.


def _proposal(rng, row, sample, shell, p, dtype) -> Tensor:
    """The three integers [..., 3] of proposal p."""
    if dtype == torch.float32:
        return _integers(_words(rng, row, sample, shell, p), dtype)[..., :3]
    first, second = (_words(rng, row, sample, shell, 2 * p + i) for i in range(2))
    return torch.cat((_integers(first, dtype), _integers(second, dtype)), -1)[..., :3]


def _beta(m: int, n: Tensor, bits: int) -> tuple[Tensor, Tensor, Tensor]:
    """eps ~ Beta((m-1)/2, (m-1)/2) (Ulrich 1984; Devroye 1986): (eps, 1 - eps, c = 2 eps - 1)."""
    # V and 1 - V; V = 0 at m = 2.
    exponent = 2 / (m - 2) * torch.log(_open(n[..., 0], bits)) if m > 2 else torch.tensor(-math.inf)
    inner, outer = torch.exp(exponent), -torch.expm1(exponent)
    cosine, sine = _cos_sin_turn(n[..., 1], bits)
    c = torch.sqrt(outer) * cosine
    lesser = (inner + outer * sine**2) / (2 * (1 + c.abs()))
    upper = c > 0
    return torch.where(upper, 1 - lesser, lesser), torch.where(upper, lesser, 1 - lesser), c


def _wood(m: int, k: Tensor, n: Tensor, bits: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A proposal of Wood (1994) at k: (accepted, v = 1 - cos theta, sin theta, theta)."""
    d = m - 1
    b = d / (2 * k + torch.sqrt(4 * k * k + d * d))
    eps, complement, c = _beta(m, n, bits)
    scale = b * eps + complement
    log_ratio = -2 * k * b * c / ((1 + b) * scale) + d * torch.log1p((1 - b) * c / (2 * scale))
    accepted = ~(log_ratio < torch.log(_open(n[..., 2], bits)))  # a NaN concentration is accepted
    theta = 2 * torch.atan2(torch.sqrt(b * eps), torch.sqrt(complement))
    sine = 2 * torch.sqrt(b * eps * complement) / scale
    return accepted, 2 * b * eps / scale, sine, theta


def _inverse_on_s2(k: Tensor, n: Tensor, bits: int) -> tuple[Tensor, Tensor, Tensor]:
    """m = 3: exp(-k v) inverted at u, 1 - p = u + (1 - u) exp(-2k); (v, sin theta, theta)."""
    u, rest = _open(n, bits), _open((1 << bits) - 1 - n, bits)
    p = rest * -torch.expm1(-2 * k)
    v = torch.where(p < 0.5, -torch.log1p(-p), -torch.log(u + rest * torch.exp(-2 * k))) / k
    v = torch.where(k < 1e-30, 2 * rest, v)
    far = torch.where(k < 1e-30, 2 * u, torch.log1p(u * torch.expm1((2 * k).clamp(max=80))) / k)
    far = torch.where(v <= 1, 2 - v, far)  # 1 + cos theta
    return v, torch.sqrt(v * far), 2 * torch.atan2(torch.sqrt(v), torch.sqrt(far))


def _angles(m, kappa, rng, samples, shell, dtype) -> tuple[Tensor, Tensor, Tensor]:
    """v, sin theta and theta, each [samples, rows] float64, for kappa [rows]."""
    row, sample = torch.broadcast_tensors(*_places(rng, samples, kappa.shape[0]))
    row, sample, k = row.flatten(), sample.flatten(), kappa.repeat(samples)
    if m == 3:
        n = _proposal(rng, row, sample, shell, 0, dtype)[..., 0]
        drawn = torch.stack(_inverse_on_s2(k, n, _bits(dtype)))
    else:
        drawn = k.new_empty((3, k.numel()))
        pending, p = torch.arange(k.numel(), device=k.device), 0
        while pending.numel():
            n = _proposal(rng, row[pending], sample[pending], shell, p, dtype)
            accepted, *angle = _wood(m, k[pending], n, _bits(dtype))
            drawn[:, pending] = torch.stack(angle)
            pending, p = pending[~accepted], p + 1
    v, sine, theta = drawn.unflatten(1, (samples, -1))
    return v, sine, theta


def _project(g: Tensor, mu: Tensor) -> Tensor:
    """g without its part along mu."""
    return g - (g * mu).sum(-1, keepdim=True) * mu


def _tangents(mu: Tensor, rng: Tensor, samples: int, shell: int, dtype: torch.dtype) -> Tensor:
    """Uniform unit tangents at mu [rows, m] -> [samples, rows, m] float64."""
    rows, m = mu.shape
    row, sample = torch.broadcast_tensors(*_places(rng, samples, rows))
    if m == 2:
        sign = 1 - 2 * (_words(rng, row, sample, shell, TANGENT_BLOCK)[..., :1] >> 31)
        return sign * torch.stack((-mu[:, 1], mu[:, 0]), -1)
    blocks = -(-m // (4 if dtype == torch.float32 else 2))
    row, sample = row.flatten(), sample.flatten()
    tangent = mu.repeat(samples, 1)
    pending, attempt = torch.arange(row.numel(), device=mu.device), 0
    while pending.numel():
        place = (row[pending], sample[pending], shell, TANGENT_BLOCK + attempt * blocks)
        g, axis = _fill(rng, *place, m, dtype, _normals), mu[row[pending]]
        g = _project(_project(g, axis), axis)
        norm = torch.linalg.vector_norm(g, dim=-1, keepdim=True)
        tangent[pending] = g / norm
        pending, attempt = pending[norm[:, 0] == 0], attempt + 1
    return tangent.unflatten(0, (samples, rows))


# --------------------------------------------------------------------------------------------------
# Gradients of a draw.

QUADRATURE_NODES = 40
PI_LOW = 1.2246467991473532e-16  # pi - math.pi
QUADRATURE_CUT = 40.0  # the integrand is dropped where it is below e^-40 of its peak


def _log_density_ratio(m: int, k: Tensor, theta: Tensor, delta: Tensor) -> Tensor:
    """log of density(theta + delta)/density(theta), in the difference delta: nothing cancels."""
    half, middle = torch.sin(delta / 2), theta + delta / 2
    bend = 2 * torch.cos(middle) * half / torch.sin(theta)
    power = (m - 2) * torch.log1p(bend.clamp(min=-1.0)) if m > 2 else 0.0
    return -2 * k * half * torch.sin(middle) + power


def _cut(m: int, k: Tensor, theta: Tensor, top: Tensor, end: Tensor) -> Tensor:
    """Between top and end (differences from theta) the density falls: where by QUADRATURE_CUT."""
    floor = _log_density_ratio(m, k, theta, top) - QUADRATURE_CUT
    near, far = top, end
    for _ in range(40):
        middle = (near + far) / 2
        above = _log_density_ratio(m, k, theta, middle) > floor
        near, far = torch.where(above, middle, near), torch.where(above, far, middle)
    return far


def _implicit(m: int, theta: Tensor, k: Tensor) -> Tensor:
    """-int_0^theta (cos p - A) density(p)/density(theta) dp = + int_theta^pi (Figurnov 2018)."""
    one_minus = _value_and_derivative(m, k, "one_minus_A")[0]
    lower = 2 * torch.sin(theta / 2) ** 2 < one_minus  # the side where cos p - A keeps its sign
    mode = 2 * torch.atan(torch.sqrt((m - 2) / (2 * k + torch.hypot(2 * k, k.new_tensor(m - 2.0)))))
    edge = torch.where(lower, -theta, (math.pi - theta) + PI_LOW)
    ahead = torch.where(lower, mode < theta, mode > theta)
    top = torch.where(ahead, mode - theta, 0.0)
    end = _cut(m, k, theta, top, edge)
    x, w = (
        torch.from_numpy(a).to(k.device) for a in np.polynomial.legendre.leggauss(QUADRATURE_NODES)
    )
    delta = end[..., None] * (1 + x) / 2
    k, theta, one_minus = k[..., None], theta[..., None], one_minus[..., None]
    factor = one_minus - 2 * torch.sin((theta + delta) / 2) ** 2
    integrand = factor * torch.exp(_log_density_ratio(m, k, theta, delta))
    # Up to theta the integral runs from end to 0 and counts negatively: the sign of `end` is both.
    return (integrand * w).sum(-1) * end / 2


def dtheta_dkappa(m: int, theta: Tensor, kappa: Tensor, kind: str = "implicit") -> Tensor:
    """dtheta/dkappa of a draw at angle theta: the field that `sample` multiplies gradients with.

    "implicit" keeps the probability below theta (unbiased); "naive" keeps Wood's eps (biased):
    tan^2(theta/2) = b eps/(1-eps) gives -sin(theta)/sqrt(4 kappa^2 + (m-1)^2).

    Args:
        m: ambient dimension; theta, kappa: tensors that broadcast, float32 or float64.

    Returns:
        A tensor in theta's dtype; 0 at theta = 0 and pi.
    """
    angle, k = torch.broadcast_tensors(theta.double(), kappa.double())
    if kind == "naive":
        value = -torch.sin(angle) / torch.sqrt(4 * k * k + (m - 1) ** 2)
    elif kind == "implicit":
        value = _implicit(m, angle, k)
    else:
        raise Refused(f"kappa_grad {kind!r} is unknown; allowed: implicit, naive")
    return torch.where((angle <= 0) | (angle >= math.pi), 0.0, value).to(theta.dtype)


class _Draw(torch.autograd.Function):
    """z on one shell. The mean direction moves z by the smallest rotation, kappa moves its angle.

    Both are unbiased fields, not derivatives of this map: differentiating them is refused.
    """

    @staticmethod
    def forward(ctx, mu, kappa, rng, samples, shell, kind, dtype):
        v, sine, theta = _angles(mu.shape[-1], kappa, rng, samples, shell, dtype)
        tangent = _tangents(mu, rng, samples, shell, dtype)
        cosine = 1 - v
        z = cosine[..., None] * mu + sine[..., None] * tangent
        ctx.save_for_backward(mu, kappa, cosine, sine, theta, tangent)
        ctx.kind = kind
        ctx.mark_non_differentiable(v, theta)
        return z, v, theta

    @staticmethod
    @once_differentiable
    def backward(ctx, gz, _v, _theta):
        mu, kappa, cosine, sine, theta, tangent = ctx.saved_tensors
        w, s = cosine[..., None], sine[..., None]
        z = w * mu + s * tangent
        g_mu = w * gz - (mu * gz).sum(-1, keepdim=True) * z
        along = (gz * (w * tangent - s * mu)).sum(-1)
        g_kappa = dtheta_dkappa(mu.shape[-1], theta, kappa, ctx.kind) * along
        return g_mu.sum(0), g_kappa.sum(0), None, None, None, None, None


def _mean_direction(head: Tensor) -> Tensor:
    """head/|head| along the last axis; a zero head gives e_1, with zero gradient."""
    e1 = torch.zeros_like(head)
    e1[..., 0] = 1
    head = torch.where((head == 0).all(-1, keepdim=True), e1, head)
    head = head / head.detach().abs().amax(-1, keepdim=True)  # squares neither overflow nor vanish
    return head / torch.linalg.vector_norm(head, dim=-1, keepdim=True)


def sample(
    head: Tensor,
    kappa: Tensor,
    dims: list[int],
    rng: Tensor,
    samples: int = 1,
    kappa_grad: str = "implicit",
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draws on a product of vMF shells, with their angles and KL divergences.

    Args:
        head: [R, M] raw mean-direction heads, M = sum(dims); each shell's part is normalised.
        kappa: [R, S] concentrations, of head's dtype (float32 or float64).
        dims: S ambient dimensions, each >= 2.
        rng: int64[4], see hvae.random.stream.
        samples: K, draws per row.
        kappa_grad: "implicit" (unbiased) or "naive" (the paper's).

    Returns:
        z [K, R, M]; v = 1 - mu.z [K, R, S]; theta [K, R, S], the angle between mu and z; kl [R, S],
        the divergence from the uniform distribution. z and kl carry gradients, v and theta none.
    """
    dtype = head.dtype
    draws = [
        _Draw.apply(_mean_direction(h), k, rng, samples, shell, kappa_grad, dtype)
        for shell, (h, k) in enumerate(
            zip(head.double().split(list(dims), -1), kappa.double().unbind(-1), strict=True)
        )
    ]
    z, v, theta = zip(*draws, strict=True)
    kl, _ = vmf(kappa, dims, "KL")
    return (
        torch.cat(z, -1).to(dtype),
        torch.stack(v, -1).to(dtype),
        torch.stack(theta, -1).to(dtype),
        kl,
    )


# --------------------------------------------------------------------------------------------------
# Likelihood.


def bernoulli_log_prob(logits: Tensor, x: Tensor) -> Tensor:
    """sum_j x_j l_j - log(1 + exp l_j), the log-likelihood of independent Bernoulli pixels x.

    Args:
        logits: [..., D].
        x: [..., D], in logits' dtype or uint8; its leading shape is a suffix of that of logits.

    Returns:
        [...], the leading shape of logits, in its dtype.
    """
    x, wide = x.double(), logits.double()
    terms = x * logsigmoid(wide) + (1 - x) * logsigmoid(-wide)
    return terms.sum(-1).to(logits.dtype)
