"""What PyTorch checks of its own distributions, of every one of ours.

Statistical bars are 5 standard errors, exceeded by chance once in 1.7 million; seeds are fixed.
"""

import copy
import io
import math
import pickle

import pytest
import torch
from directions import DOUBLE, directions
from numpy.polynomial.legendre import leggauss
from torch.distributions import Independent, biject_to, constraints, kl_divergence
from torch.func import grad, jvp, vmap

from hvae.distributions import (
    HypersphericalUniform,
    HypersphericalUniformProduct,
    PowerSpherical,
    ProjectedNormal,
    ScaledVonMisesFisher,
    SphericalCauchy,
    VonMisesFisher,
    VonMisesFisherProduct,
)

DIMS = (2, 3)


def kappas(*shape):
    return 5 * torch.rand(shape, dtype=DOUBLE) + 0.5


def pair(*batch):
    return torch.cat((directions(*batch, 2), directions(*batch, 3)), -1)


def scaled(frame):
    return lambda *batch, **options: ScaledVonMisesFisher(
        directions(*batch, 4),
        kappas(*batch),
        0.5 + torch.rand(*batch, 4, dtype=DOUBLE),
        frame,
        **options,
    )


# With parameters of a batch shape, float64.
PARAMETRIC = {
    "von Mises-Fisher": lambda *b, **o: VonMisesFisher(directions(*b, 4), kappas(*b), **o),
    "product": lambda *b, **o: VonMisesFisherProduct(pair(*b), kappas(*b, 2), DIMS, **o),
    "scaled, mean": scaled("mean"),
    "scaled, fixed": scaled("fixed"),
    "Power Spherical": lambda *b, **o: PowerSpherical(directions(*b, 4), kappas(*b), **o),
    "spherical Cauchy": lambda *b, **o: SphericalCauchy(
        directions(*b, 4), 0.8 * torch.rand(b, dtype=DOUBLE), **o
    ),
    "projected normal": lambda *b, **o: ProjectedNormal(directions(*b, 4), kappas(*b), **o),
}
ALL = {
    **PARAMETRIC,
    "uniform": lambda *b, **o: HypersphericalUniform(4, DOUBLE, **o).expand(b),
    "uniform product": lambda *b, **o: HypersphericalUniformProduct(DIMS, DOUBLE, **o).expand(b),
}


@pytest.fixture(params=ALL)
def make(request):
    return ALL[request.param]


@pytest.fixture(params=PARAMETRIC)
def parametric(request):
    return PARAMETRIC[request.param]


def parameters(q):
    return [getattr(q, name) for name in q.arg_constraints]


def rebuilt(q, values):
    """The distribution of the same kind with other parameters, unchecked."""
    new = copy.copy(q)
    for name, value in zip(q.arg_constraints, values, strict=True):
        setattr(new, name, value)
    new._validate_args = False
    return new


def uniform_of(q):
    dims = q.dims
    return (
        HypersphericalUniform(dims[0], DOUBLE)
        if len(dims) == 1
        else HypersphericalUniformProduct(dims, DOUBLE)
    )


@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (0,)])
def test_shapes(make, batch):
    q = make(*batch)
    assert q.batch_shape == batch and len(q.event_shape) == 1
    for shape in ((), (5,), (2, 5), (0,)):
        for z in (q.sample(shape), q.rsample(shape)):
            assert z.shape == (*shape, *batch, *q.event_shape) and z.dtype == DOUBLE
            assert q.log_prob(z).shape == (*shape, *batch)
            assert q.support.check(z).all()
    if batch != (0,):
        divergence = kl_divergence(q, uniform_of(q))
        assert divergence.shape == batch and divergence.isfinite().all()
    assert type(q).__name__ in repr(q)


def test_expand(make):
    """Nothing but the batch shape changes; what does not broadcast is refused."""
    q = make(3)
    wide = q.expand((2, 3))
    assert type(wide) is type(q) and wide.batch_shape == (2, 3)
    z = q.sample()
    assert torch.equal(wide.log_prob(z), q.log_prob(z).expand(2, 3))
    draws = wide.sample((4000,))
    assert draws.shape == (4000, 2, 3, *q.event_shape)
    assert not torch.equal(draws[:, 0], draws[:, 1])  # copies draw numbers of their own
    for value, wider in zip(parameters(q), parameters(wide), strict=True):
        assert torch.equal(value.expand(wider.shape), wider)
    if parameters(q):
        with pytest.raises(RuntimeError):
            q.expand((4,))


def test_independent(make):
    q = make(2, 3)
    together, z = Independent(q, 1), q.sample((5,))
    assert together.event_shape == (3, *q.event_shape)
    torch.testing.assert_close(together.log_prob(z), q.log_prob(z).sum(-1))
    assert together.support.check(z).shape == (5, 2)


def test_support_and_constraints(make):
    """What lies off the support is refused in one line; transforms lead into the constraints."""
    q = make(3, validate_args=True)
    z = q.sample()
    for wrong in (1.01 * z, torch.full_like(z, math.nan), z[..., :-1]):
        with pytest.raises(ValueError, match="allowed"):
            q.log_prob(wrong)
    assert type(q).support.event_dim == 1
    for name, constraint in q.arg_constraints.items():
        assert constraint.check(getattr(q, name)).all(), name
        assert isinstance(constraint, constraints.Constraint)
        transform = biject_to(constraint)
        there = transform(transform.inv(getattr(q, name)))
        torch.testing.assert_close(there, getattr(q, name))
        assert constraint.check(transform(torch.randn_like(transform.inv(getattr(q, name))))).all()


def test_density_integrates_to_one(make):
    """The mean of q/p over uniform draws, p uniform."""
    q = make()
    p = uniform_of(q)
    z = p.sample((100_000,))
    ratio = (q.log_prob(z) - p.log_prob(z)).exp()
    assert abs(ratio.mean() - 1) <= 5 * ratio.std() / math.sqrt(len(z)) + 1e-12


def test_draws_have_the_density(make):
    """Moments of the draws are those of uniform draws weighted by q/p: first and second."""
    q = make()
    p = uniform_of(q)
    z, u = q.sample((100_000,)), p.sample((100_000,))
    weight = (q.log_prob(u) - p.log_prob(u)).exp()
    for power in (1, 2):
        mine, other = z**power, weight[:, None] * u**power
        error = ((mine.var(0) + other.var(0)) / len(z)).sqrt()
        assert ((mine.mean(0) - other.mean(0)).abs() <= 5 * error + 1e-12).all(), power


def test_moments(make):
    q = make()
    z = q.sample((100_000,))
    for name, power in (("mean", 1), ("variance", 2)):
        try:
            exact = getattr(q, name)
        except NotImplementedError:
            continue
        centred = z - (q.mean if power == 2 else 0)
        error = (centred**power).std(0) / math.sqrt(len(z))
        assert (((centred**power).mean(0) - exact).abs() <= 5 * error + 1e-9).all(), name


def test_divergence_to_the_uniform_distribution(make):
    """The mean of log q/p over draws; log |S| less it is the entropy."""
    q = make()
    p = uniform_of(q)
    z = q.sample((100_000,))
    terms = q.log_prob(z) - p.log_prob(z)
    error = terms.std() / math.sqrt(len(z))
    exact, own_error = kl_divergence(q, p), 0
    if isinstance(q, ScaledVonMisesFisher):
        exact, own_error = q.kl_to_uniform(100_000)
    else:
        torch.testing.assert_close(q.entropy(), p.entropy() - exact)
    assert (exact - terms.mean()).abs() <= 5 * torch.as_tensor(
        error**2 + own_error**2
    ).sqrt() + 1e-9


def test_gradients_of_log_prob(parametric):
    """Against differences, in every parameter that is not a direction, and in the value."""
    q = parametric(2)
    z = q.sample()
    values = [x.detach().clone().requires_grad_() for x in parameters(q)]
    assert torch.autograd.gradcheck(lambda *v: rebuilt(q, v).log_prob(z), values)
    z.requires_grad_()
    assert torch.autograd.gradcheck(rebuilt(q, parameters(q)).log_prob, z)


def test_gradients_of_draws_are_unbiased(parametric):
    """d/dp E f(z) by draws, and by the score: E f d log q/dp, f linear and square."""
    q = parametric()
    values = [x.detach().clone().requires_grad_() for x in parameters(q)[1:]]
    direction = directions(*q.event_shape)
    copies, rounds = 20_000, 2
    for value_index, value in enumerate(values):
        means, scores = [], []
        for _ in range(rounds):
            wide = [x.expand(copies, *x.shape).detach().clone() for x in parameters(q)]
            wide[1 + value_index].requires_grad_()
            many = rebuilt(q.expand((copies,)), wide)
            z = many.rsample()
            f = (z @ direction) + (z @ direction) ** 2
            (path,) = torch.autograd.grad(f.sum(), wide[1 + value_index])
            (score,) = torch.autograd.grad(many.log_prob(z.detach()).sum(), wide[1 + value_index])
            means.append(path)
            scores.append((f - f.mean()).detach().reshape(-1, *[1] * (score.dim() - 1)) * score)
        path, score = torch.cat(means), torch.cat(scores)
        error = ((path.var(0) + score.var(0)) / len(path)).sqrt()
        assert ((path.mean(0) - score.mean(0)).abs() <= 5 * error + 1e-9).all()
        assert (path.abs().sum(0) > 0).all() and value.shape == path.shape[1:]


def test_copies(make):
    """pickle, deepcopy and torch.save keep the density and the class."""
    q = make(3)
    z = q.sample()
    file = io.BytesIO()
    torch.save(q, file)
    file.seek(0)
    for again in (
        pickle.loads(pickle.dumps(q)),
        copy.deepcopy(q),
        torch.load(file, weights_only=False),
    ):
        assert type(again) is type(q) and torch.equal(again.log_prob(z), q.log_prob(z))
        assert again.expand((2, 3)).sample().shape == (2, 3, *q.event_shape)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_traced(parametric):
    """torch.jit.trace of the density goes on to other parameters."""
    q, other = parametric(3), parametric(3)
    z = q.sample()

    def density(z, *values):
        return rebuilt(q, values).log_prob(z)

    traced = torch.jit.trace(density, (z, *parameters(q)))
    torch.testing.assert_close(traced(z, *parameters(other)), density(z, *parameters(other)))


def test_vmap(parametric):
    """Of densities, divergences and draws over a batch of parameters."""
    q = parametric(3)
    single, z = parametric(), q.sample()

    def density(z, *values):
        return rebuilt(single, values).log_prob(z)

    torch.testing.assert_close(vmap(density)(z, *parameters(q)), q.log_prob(z))

    def draw(*values):
        return rebuilt(single, values).rsample((2,))

    for randomness in ("different", "same"):
        draws = vmap(draw, randomness=randomness)(*parameters(q))
        assert draws.shape == (3, 2, *q.event_shape) and q.support.check(draws).all()
    alike = vmap(draw, randomness="same")(*(x[:1].expand(x.shape) for x in parameters(q)))
    assert torch.equal(alike[0], alike[1])


def test_transforms_of_functions(parametric):
    """grad and jvp of the density agree; of a draw they agree or forward mode is refused."""
    q = parametric()
    z, values = q.sample(), parameters(q)

    def density(number):
        return rebuilt(q, [values[0], number, *values[2:]]).log_prob(z).sum()

    slope = grad(density)(values[1])
    assert slope.abs().sum() > 0
    tangent = jvp(density, (values[1],), (torch.ones_like(values[1]),))[1]
    torch.testing.assert_close(tangent, slope.sum())

    def draw(number):
        torch.manual_seed(3)
        return rebuilt(q, [values[0], number, *values[2:]]).rsample((4,)).sin().sum()

    slope = grad(draw)(values[1])
    assert slope.abs().sum() > 0
    if isinstance(q, ScaledVonMisesFisher):
        with pytest.raises(RuntimeError, match="no forward mode"):
            jvp(draw, (values[1],), (values[1],))
    else:
        tangent = jvp(draw, (values[1],), (torch.ones_like(values[1]),))[1]
        torch.testing.assert_close(tangent, slope.sum())


def test_float32(make):
    """Densities of the same parameters to the rounding of float32."""
    q = make(3)
    if not parameters(q):
        q = type(q)(q.dims if len(q.dims) > 1 else q.dims[0], torch.float32)
        assert q.sample().dtype == q.entropy().dtype == torch.float32
        return
    single = type(q)(*(x.float() for x in parameters(q)), *_rest(q))
    z = q.sample()
    assert single.rsample().dtype == torch.float32
    torch.testing.assert_close(
        single.log_prob(z.float()).double(), q.log_prob(z), rtol=2e-5, atol=2e-5
    )


def _rest(q):
    if isinstance(q, VonMisesFisherProduct):
        return (q.dims,)
    return (q.frame,) if isinstance(q, ScaledVonMisesFisher) else ()


@pytest.mark.parametrize(
    "family, words",
    [
        (
            lambda: PowerSpherical(directions(3), torch.tensor(-1.0)),
            "concentration is -1.0; allowed: 0 <=",
        ),
        (lambda: SphericalCauchy(directions(3), torch.tensor(1.0)), "rho"),
        (lambda: SphericalCauchy(directions(3, 4), torch.rand(2)), "shapes that broadcast"),
        (lambda: PowerSpherical(torch.tensor(1.0), 2.0), r"loc has shape \(\)"),
        (lambda: PowerSpherical(2 * directions(3), 2.0), "loc is a vector of length 2"),
    ],
)
def test_refusals(family, words):
    with pytest.raises(ValueError, match=words):
        family()


def test_power_spherical_keeps_its_digits_in_float32():
    """log_prob at draws of k = 1e6, of parts below 50, and the divergence k^2/(2m) of a small k.

    A coordinate is off by eps/2, so v by |z - loc| eps/2 sqrt(m) and k v/2 by k/2 times that.
    """
    m, k, eps = 5, 1e6, 2.0**-23
    loc = directions(200, m, dtype=torch.float32)
    z = PowerSpherical(loc, k).sample()
    far, near = (torch.nn.functional.normalize(x.double(), dim=-1) for x in (z, loc))
    expected = PowerSpherical(near, k).log_prob(far)
    allowed = 50 * eps + k / 2 * (far - near).norm(dim=-1) * eps * math.sqrt(m) / 2
    assert ((PowerSpherical(loc, k).log_prob(z).double() - expected).abs() <= allowed).all()
    small = torch.tensor([1e-3, 1e-4])
    exact = PowerSpherical(loc[0].double(), small.double(), validate_args=False).kl_to_uniform()
    found = PowerSpherical(loc[0], small).kl_to_uniform()
    torch.testing.assert_close(found.double(), exact, rtol=2 * eps, atol=0)


@pytest.mark.parametrize("m", [5, 11, 301])
def test_a_long_series_of_the_spherical_cauchy_divergence(m):
    """The mean of log|u + rho loc|^2 by Gauss-Legendre in the angle; both to 1e-12 of its size."""
    rho = torch.tensor([0.01, 0.3, 0.9], dtype=DOUBLE)
    x, weight = (torch.tensor(a, device=rho.device) for a in leggauss(100))
    cosine = torch.cos(math.pi / 2 * (1 + x))
    weight = weight * torch.sin(math.pi / 2 * (1 + x)) ** (m - 2)
    square = 1 + rho[:, None].square() + 2 * rho[:, None] * cosine
    mean = (weight * square.log()).sum(-1) / weight.sum()
    expected = (m - 1) * (mean - torch.log1p(-rho.square()))
    found = SphericalCauchy(directions(m), rho).kl_to_uniform()
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=0)
