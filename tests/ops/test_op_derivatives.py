"""Forward mode, per-row gradients and Hessians of every op: they agree with reverse mode, or raise.

The bar of an agreement is 1e-12: both modes do the same products of the same numbers in another
order, a few hundred roundings of 1e-16.
"""

import pytest
import torch
from op_inputs import DIMS, inputs, pixels
from torch.autograd import forward_ad
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap

from hvae import ops, random, special
from hvae.distributions import VonMisesFisher
from hvae.distributions.bregman import bregman

pytestmark = pytest.mark.usefixtures("device")

DOUBLE = torch.float64
KAPPA = [[0.3, 2.0, 40.0, 3e3], [1e-3, 7.0, 0.5, 90.0]]
WITH_SECOND = ("L", "k_minus_L", "A", "one_minus_A", "KL")


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


def both_modes(function, *arguments):
    """Derivatives of function, which sums its values, in every argument: forward is reverse."""
    for i in range(len(arguments)):
        expected = grad(function, i)(*arguments)
        assert expected.abs().max() > 0
        close(jacfwd(function, i)(*arguments), expected)
        direction = torch.ones_like(arguments[i])

        def of_one(x, i=i):
            return function(*arguments[:i], x, *arguments[i + 1 :])

        tangent = jvp(of_one, (arguments[i],), (direction,))[1]
        close(tangent, expected.sum())
        with forward_ad.dual_level():
            dual = of_one(forward_ad.make_dual(arguments[i], direction))
            close(forward_ad.unpack_dual(dual).tangent, expected.sum())


def every_hessian(function, *arguments):
    """The four compositions of the two modes agree."""
    for i in range(len(arguments)):
        expected = jacrev(jacrev(function, i), i)(*arguments)
        for outer, inner in ((jacfwd, jacrev), (jacrev, jacfwd), (jacfwd, jacfwd)):
            close(outer(inner(function, i), i)(*arguments), expected)


@pytest.mark.parametrize("quantity", ops.QUANTITIES[:7])
def test_quantities_of_the_concentration(quantity):
    kappa = torch.tensor(KAPPA, dtype=DOUBLE)

    def total(kappa):
        return ops.vmf(kappa, DIMS, quantity)[0].sin().sum()

    both_modes(total, kappa)
    if quantity in WITH_SECOND:
        every_hessian(total, kappa)
        assert hessian(total)(kappa).abs().max() > 0


@pytest.mark.parametrize("quantity", ["dA", "dKL"])
def test_a_derivative_that_there_is_not_is_no_zero(quantity):
    """Reverse mode raises; forward mode, which cannot know what is used, gives NaN."""
    kappa = torch.tensor(KAPPA, dtype=DOUBLE)

    def total(kappa):
        return ops.vmf(kappa, DIMS, quantity)[0].sum()

    with pytest.raises(RuntimeError, match="no derivative beyond the first"):
        jacrev(jacrev(total))(kappa)
    assert hessian(total)(kappa).isnan().all()


@pytest.mark.parametrize("quantity", ops.QUANTITIES)
def test_quantities_at_real_orders(quantity):
    x, order = torch.tensor([0.4, 3.0, 70.0], dtype=DOUBLE), torch.tensor([0.0, 1.3, 9.0])
    order = order.double()
    for given in (order, 1.3):

        def total(x, given=given):
            return ops.bessel(given, x, quantity)[0].sin().sum()

        both_modes(total, x)
        if quantity not in ("dA", "dKL"):
            every_hessian(total, x)
    with pytest.raises(RuntimeError, match="in its order"):
        jvp(lambda v: ops.bessel(v, x, quantity)[0], (order,), (order,))


@pytest.mark.parametrize("function", [special.log_iv, special.iv_ratio, special.log_hyp0f1])
def test_special_functions(function):
    x, order = torch.tensor([0.4, 3.0, 70.0], dtype=DOUBLE), torch.tensor([0.5, 1.3, 9.0])
    order = order.double()
    for given in (order, 0.5, 2.5):

        def total(x, given=given):
            return function(given, x).sin().sum()

        both_modes(total, x)
        every_hessian(total, x)
    with pytest.raises(RuntimeError, match="in its order"):
        jvp(lambda v: function(v, x), (order,), (order,))
    rows = vmap(grad(function, 1))(order, x)
    close(rows, grad(lambda x: function(order, x).sum())(x))


def test_hypergeometric_at_zero():
    """No square root is left there, in either mode: slopes 1/b and -1/(b^2 (b + 1))."""
    for b in (0.5, 2.5):
        zero = torch.zeros((), dtype=DOUBLE)
        for mode in (jacfwd, jacrev):
            close(mode(lambda x, b=b: special.log_hyp0f1(b, x))(zero).item(), 1 / b)
        second = hessian(lambda x, b=b: special.log_hyp0f1(b, x))(zero)
        close(second.item(), -1 / (b * b * (b + 1)))


def test_divergence_of_two_concentrations():
    k1, k2 = (torch.tensor(k, dtype=DOUBLE) for k in (KAPPA, [[0.2, 5.0, 11.0, 9e3]] * 2))

    def total(k1, k2):
        return bregman(k1, k2, DIMS).log1p().sum()

    both_modes(total, k1, k2)
    every_hessian(total, k1, k2)
    close(vmap(grad(total))(k1, k2), grad(total)(k1, k2))


@pytest.mark.parametrize("kind", ops.KAPPA_GRADIENTS)
def test_draws(kind):
    """The field that forward mode moves a draw by is that of reverse mode, at every order."""
    raw, kappa = inputs(3, DOUBLE)
    rng = random.stream(1, "user")

    def draw(raw, kappa):
        z, _, _, kl = ops.sample(raw, kappa, DIMS, rng, 2, kind, shell=3)
        return z.sin().sum() + kl.square().sum()

    both_modes(draw, raw, kappa)
    both_modes(draw, 1e-200 * raw, kappa)
    moved = jvp(lambda h: ops.sample(h, kappa, DIMS, rng)[0], (0 * raw,), (raw,))[1]
    assert torch.equal(moved, torch.zeros_like(moved))  # where no direction leads, none is moved


def test_draws_have_no_second_derivative():
    raw, kappa = inputs(2, DOUBLE)
    rng = random.stream(1, "user")

    def draw(raw, kappa):
        return ops.sample(raw, kappa, DIMS, rng)[0].sum()

    for i in range(2):
        for outer, inner in ((jacfwd, jacrev), (jacfwd, jacfwd), (jacrev, jacfwd)):
            with pytest.raises(RuntimeError, match="no second derivative"):
                outer(inner(draw, i), i)(raw, kappa)


def test_gradients_of_draws_by_row():
    """vmap(grad) of one stream's draws is the gradient of all rows together."""
    raw, kappa = inputs(4, DOUBLE)
    rng = random.stream(1, "user")

    def total(raw, kappa):
        return ops.sample(raw, kappa, DIMS, rng, 2)[0].sin().sum()

    each = vmap(grad(lambda h, k: total(h[None], k[None]), (0, 1)))(raw, kappa)
    for mine, expected in zip(each, grad(total, (0, 1))(raw, kappa), strict=True):
        assert torch.equal(mine, expected)
    streams = torch.stack([random.stream(seed, "user") for seed in range(4)])

    def of_stream(h, k, rng):
        return ops.sample(h[None], k[None], DIMS, rng)[0].sin().sum()

    each = vmap(grad(of_stream, (0, 1)))(raw, kappa, streams)
    tangents = vmap(lambda h, k, r: jvp(lambda h: of_stream(h, k, r), (h,), (h,))[1])
    for i in range(4):
        alone = grad(of_stream, (0, 1))(raw[i], kappa[i], streams[i])
        for mine, expected in zip(each, alone, strict=True):
            assert torch.equal(mine[i], expected)
    close(tangents(raw, kappa, streams), (each[0] * raw).sum(1))


def test_jacobians_of_draws():
    """A batch of arriving gradients alone is one launch each."""
    raw, kappa = inputs(2, DOUBLE)
    rng = random.stream(1, "user")

    def draw(raw, kappa):
        return ops.sample(raw, kappa, DIMS, rng, 2)[0]

    forward, reverse = (mode(draw, (0, 1))(raw, kappa) for mode in (jacfwd, jacrev))
    for mine, expected in zip(forward, reverse, strict=True):
        close(mine, expected)


def test_scaled_draws_refuse_forward_mode():
    raw, kappa = inputs(2, DOUBLE)
    rng = random.stream(1, "user")

    def draw(raw, kappa, scales):
        return ops.scaled_sample(raw, kappa, scales, DIMS, rng).z.sin().sum()

    for i in range(3):
        with pytest.raises(RuntimeError, match="has no forward mode; allowed: reverse mode"):
            jacfwd(draw, i)(raw, kappa, raw)
    each = vmap(grad(lambda h, k, b: draw(h[None], k[None], b[None]), (0, 1, 2)))(raw, kappa, raw)
    for mine, expected in zip(each, grad(draw, (0, 1, 2))(raw, kappa, raw), strict=True):
        assert torch.equal(mine, expected)


def test_bernoulli():
    logits, x = pixels(6, 3, 5, DOUBLE)
    logits, x = logits.unflatten(0, (2, 3)), torch.rand(3, 5, dtype=DOUBLE)

    def total(logits, x):
        return ops.bernoulli_log_prob(logits, x).sin().sum()

    both_modes(total, logits, x)
    every_hessian(total, logits, x)
    close(vmap(grad(total), (1, 0), 1)(logits, x), grad(total)(logits, x))


def test_log_mixture():
    features, weight, bias = (torch.randn(s, dtype=DOUBLE) for s in ((6, 4), (4, 3), (3,)))

    def total(features, weight, bias):
        return ops.log_mixture(features, weight, bias).sin().sum()

    both_modes(total, features, weight, bias)
    each = vmap(grad(total, (0, 1, 2)), (0, None, None))(features, weight, bias)
    whole = grad(total, (0, 1, 2))(features, weight, bias)
    for mine, expected in zip((each[0], each[1].sum(0), each[2].sum(0)), whole, strict=True):
        close(mine, expected)
    assert torch.equal(
        vmap(ops.log_mixture, (0, None, None))(features[:, None], weight, bias)[:, 0],
        ops.log_mixture(features, weight, bias),
    )
    many = vmap(ops.log_mixture)(features[:, None], weight.expand(6, 4, 3), bias.expand(6, 3))
    close(many[:, 0], ops.log_mixture(features, weight, bias))
    for nested in (jacrev(jacrev(total)), hessian(total)):
        with pytest.raises(RuntimeError, match="no second derivative"):
            nested(features, weight, bias)


def test_compiled():
    """Forward mode, per-row gradients and products with a Hessian in one graph."""
    torch._dynamo.reset()
    kappa = torch.tensor(KAPPA, dtype=DOUBLE)

    def total(kappa):
        return ops.vmf(kappa, DIMS, "KL")[0].sin().sum()

    transforms = (
        lambda k: jvp(total, (k,), (k,))[1],
        lambda k: vmap(grad(total), 0)(k) * k,
        lambda k: jvp(grad(total), (k,), (k,))[1],
    )
    for transform in transforms:
        compiled = torch.compile(transform, fullgraph=True, backend="aot_eager")
        close(compiled(kappa), transform(kappa))


def test_the_distribution_in_forward_mode():
    """-0.3034 is minus the derivative of k coth k - 1 - log(sinh k / k) at 3, for m = 3."""
    mu, k = torch.tensor([0.0, 0.6, 0.8], dtype=DOUBLE), torch.tensor(3.0, dtype=DOUBLE)

    def entropy(k):
        return VonMisesFisher(mu, k, validate_args=False).entropy()

    tangent = jvp(entropy, (k,), (torch.ones_like(k),))[1]
    exact = k * (1 / k.sinh() ** 2 - 1 / k**2)
    close(tangent, exact)
    assert round(tangent.item(), 4) == -0.3034

    def draw(k):
        torch.manual_seed(1)
        return VonMisesFisher(mu, k, validate_args=False).rsample((5,))

    close(jacfwd(draw, randomness="same")(k), jacrev(draw)(k))
