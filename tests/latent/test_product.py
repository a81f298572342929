"""hvae.latent: draws, KL and log weights of every component, packed, in the order of the list."""

import math

import pytest
import scipy.special
import torch
from torch.distributions import Independent, Normal, kl_divergence

from hvae import config, latent, ops, random
from hvae.latent import Product
from hvae.score import proposal_score
from hvae.shells import parse

ROWS, SAMPLES = 6, 40
EPS = 2.0**-52  # all of these run in float64
PARAMETERIZATIONS = list(latent.PARAMETERIZATIONS)


def space(text, *options):
    return Product(parse(text), *options).double()


def head_of(product, rows=ROWS, scale=3.0):
    generator = torch.Generator().manual_seed(1)
    shape = (rows, product.heads)
    return scale * torch.randn(shape, generator=generator, dtype=torch.float64)


def drawn(product, head, samples=SAMPLES):
    return product.draw(head, random.stream(5, "user", step=2), samples, weigh=True)


def gaussians(head, size):
    """The posterior and the prior of `eSIZE` by torch's own distributions."""
    mean, log_variance = head.split(size, 1)
    posterior = Independent(Normal(mean, (0.5 * log_variance).exp()), 1)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    return posterior, prior


def test_gaussian_kl_is_that_of_torch():
    product = space("e7")
    head = head_of(product)
    expected = kl_divergence(*gaussians(head, 7))
    # Each of 7 terms is a sum of parts below exp(log variance) + mean^2 < 2 e^9.
    torch.testing.assert_close(drawn(product, head).kl[:, 0], expected, rtol=8 * EPS, atol=1e-12)


def test_gaussian_log_weight_is_that_of_torch():
    product = space("e7")
    head = head_of(product)
    draw = drawn(product, head)
    posterior, prior = gaussians(head, 7)
    expected = prior.log_prob(draw.z) - posterior.log_prob(draw.z)
    # z - mean loses up to |mean|/sigma ulps of the noise; |mean|/sigma < e^6 here.
    torch.testing.assert_close(draw.log_weight, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("m", [2, 3])
def test_log_weight_of_a_shell_against_closed_forms(m):
    """log p - log q = log F - k w with F = I0(k) at m = 2 and sinh(k)/k at m = 3."""
    product = space(f"{m}")
    head = head_of(product)
    draw = drawn(product, head)
    kappa, mu = product.concentration(head), product.location(head)
    w = (draw.z * mu).sum(-1)
    log_f = {
        2: kappa + torch.from_numpy(scipy.special.i0e(kappa.numpy())).log(),
        3: kappa + torch.log(-torch.expm1(-2 * kappa) / (2 * kappa)),
    }[m]
    expected = log_f[:, 0] - kappa[:, 0] * w
    torch.testing.assert_close(
        draw.log_weight, expected, rtol=0, atol=100 * kappa.max().item() * EPS
    )


def test_log_weights_keep_their_digits_at_large_concentrations_in_float32():
    """At k = 1e6 on S^2 the weight is k v - log(2k); k w - L is off by 0.07 there (numerics.md)."""
    product = Product(parse("3"))
    kappa = torch.full((ROWS, 1), 1e6)
    product.families[0].kappa = lambda raw, m: kappa
    draw = drawn(product, head_of(product).float())
    v = ops.sample(
        head_of(product).float()[:, :3], kappa, [3], random.stream(5, "user", step=2), SAMPLES
    )[1]
    expected = 1e6 * v[:, :, 0].double() - math.log(2e6)
    torch.testing.assert_close(draw.log_weight.double(), expected, rtol=2e-7, atol=2e-5)


@pytest.mark.parametrize("text", ["5,2,3,3", "e3,e4", "4,3,e5,e2", "e3,4,e2,5", "e1,2"])
def test_components_are_in_the_order_of_the_list(text):
    """Shells have length 1 where the list has them; KL and kappa are by component."""
    product = space(text)
    head = head_of(product)
    draw = drawn(product, head)
    shells = product.shells
    assert draw.z.shape == (SAMPLES, ROWS, product.size)
    assert draw.kl.shape == (ROWS, len(shells))
    sizes = [shell.size for shell in shells]
    by_component = draw.z.split(sizes, -1)
    locations = product.location(head).split(sizes, -1)
    kappa = product.concentration(head)
    total = torch.zeros_like(draw.log_weight)
    for i, shell in enumerate(shells):
        alone = space(str(shell))
        if shell.kind == "":
            one = torch.ones(SAMPLES, ROWS, dtype=torch.float64)
            torch.testing.assert_close(by_component[i].norm(dim=-1), one, rtol=0, atol=8 * EPS)
            kl, _ = ops.vmf(kappa[:, i : i + 1], [shell.size], "KL")
            w = (by_component[i] * locations[i]).sum(-1)
            growth, _ = ops.vmf(kappa[:, i : i + 1], [shell.size], "L")
            total += growth[:, 0] - kappa[:, i] * w
        else:
            columns = head[:, product.owner == i]
            kl = drawn(alone, columns).kl
            posterior, prior = gaussians(columns, shell.size)
            total += prior.log_prob(by_component[i]) - posterior.log_prob(by_component[i])
        torch.testing.assert_close(draw.kl[:, i : i + 1], kl, rtol=1e-13, atol=1e-12)
    torch.testing.assert_close(draw.log_weight, total, rtol=0, atol=1e-8)


def test_components_do_not_share_numbers():
    """Equal heads give different draws in every component of a kind, and in every kind."""
    product = space("4,4,e4,e4")
    head = torch.zeros(ROWS, product.heads, dtype=torch.float64)
    parts = drawn(product, head).z.split(4, -1)
    for i, one in enumerate(parts):
        for other in parts[:i]:
            assert not torch.isclose(one, other, rtol=0, atol=1e-9).any()


def test_a_draw_depends_on_its_place_only():
    product = space("5,e3")
    head = head_of(product)
    whole = drawn(product, head).z
    part = product.draw(head[2:4], random.stream(5, "user", step=2, row=2, sample=7), 3).z
    assert torch.equal(part, whole[7:10, 2:4])


@pytest.mark.parametrize("text", ["3,4,5", "2," * 39 + "2", "e2,e3", "3,4,e2,e3"])
def test_components_are_packed_and_heads_are_views(text, monkeypatch):
    """One call a family, whatever the number of shells, on views of the network's output."""
    product = Product(parse(text))
    head = head_of(product).float().requires_grad_()
    storage = head.untyped_storage().data_ptr()
    calls = []

    def sample(direction, kappa, *arguments):
        calls.append("sample")
        assert direction.untyped_storage().data_ptr() == storage
        assert direction.stride() == head.stride()
        return kernels["sample"](direction, kappa, *arguments)

    def normal(*arguments, **options):
        calls.append("normal")
        return kernels["normal"](*arguments, **options)

    kernels = {"sample": ops.sample, "normal": ops.normal}
    monkeypatch.setattr(latent.ops, "sample", sample)
    monkeypatch.setattr(latent.ops, "normal", normal)
    product.draw(head, random.stream(0, "user"))
    kinds = {shell.kind for shell in product.shells}
    assert calls == ["sample"] * ("" in kinds) + ["normal"] * ("e" in kinds)


@pytest.mark.parametrize("text", ["2,3,11", "e3", "e2,4"])
def test_gradients_reach_every_output_of_the_head(text):
    product = space(text)
    head = head_of(product, scale=1.0).requires_grad_()
    draw = product.draw(head, random.stream(3, "user"))
    (draw.z * torch.arange(1, product.size + 1)).sum().backward()
    assert head.grad.isfinite().all() and (head.grad != 0).all()
    head.grad = None
    product.draw(head, random.stream(3, "user")).kl.sum().backward()
    reached = (head.grad != 0).all(0)
    directions = torch.zeros(product.heads, dtype=torch.bool)
    directions[: sum(shell.size for shell in product.shells if shell.kind == "")] = True
    assert torch.equal(reached, ~directions)  # a KL from the uniform prior ignores the direction


def test_the_mean_kl_of_a_draw_is_minus_its_mean_log_weight():
    """E_q[log q - log p] = KL, for all components together, within five standard errors."""
    product = space("2,3,10,e4")
    head = head_of(product, rows=3, scale=1.0)
    draw = drawn(product, head, samples=20_000)
    mean, error = draw.log_weight.mean(0), draw.log_weight.std(0) / math.sqrt(20_000)
    assert ((mean + draw.kl.sum(1)).abs() < 5 * error).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_prior_samples(dtype):
    """Shells: unit length, mean 0, covariance I/m; Gaussian: mean 0, variance 1."""
    product = Product(parse("e2,3,2"))
    count = 20_000
    z = product.prior(random.stream(0, "prior"), 2, count // 2, dtype)
    assert z.shape == (2, count // 2, 7) and z.dtype == dtype
    z = z.flatten(0, 1).double()
    eps = torch.finfo(dtype).eps
    for shell in (z[:, 2:5], z[:, 5:]):
        assert (shell.norm(dim=1) - 1).abs().max() < 8 * eps
    variance = torch.tensor([1, 1, *[1 / 3] * 3, *[1 / 2] * 2], dtype=torch.float64)
    assert (z.mean(0).abs() < 5 * (variance / count).sqrt()).all()
    fourth = torch.tensor([3, 3, *[1 / 5] * 3, *[3 / 8] * 2], dtype=torch.float64)  # E z_i^4
    spread = ((fourth - variance.square()) / count).sqrt()
    assert ((z.square().mean(0) - variance).abs() < 5 * spread).all()


def test_location_is_where_a_concentrated_posterior_draws():
    product = space("2,3,11")
    product.families[0].kappa = lambda raw, m: torch.full_like(raw, 1e24)
    head = head_of(product)
    z = drawn(product, head).z
    torch.testing.assert_close(product.location(head).expand_as(z), z, rtol=0, atol=1e-10)


def test_location_of_a_zero_head_is_the_first_basis_vector():
    product = Product(parse("3,e2,2"))
    location = product.location(torch.zeros(1, product.heads))
    assert location.tolist() == [[1, 0, 0, 0, 0, 1, 0]]


KAPPA = {
    "exponential": lambda a, m: m * math.exp(a / 2),
    "scaled": lambda a, m: 4 * m * math.log1p(math.exp(a)) + 0.01,
    "paper": lambda a, m: math.log1p(math.exp(a)) + 1,
}


@pytest.mark.parametrize("parameterization", KAPPA)
def test_parameterizations(parameterization):
    """Of the raw head and the ambient size; at most eight roundings on either side."""
    product = space("5,e3,2", parameterization)
    head = head_of(product)
    seen = product.concentration(head)[:, [0, 2]]
    expected = [
        [KAPPA[parameterization](a, m) for a, m in zip(raw, (5, 2), strict=True)]
        for raw in head[:, 7:9].tolist()
    ]
    expected = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(seen, expected, rtol=8 * EPS, atol=0)


def test_every_parameterization_is_a_setting_and_is_tested():
    assert tuple(PARAMETERIZATIONS) == config.PARAMETERIZATIONS
    assert set(KAPPA) == set(PARAMETERIZATIONS)
    assert Product(parse("3")).families[0].kappa is latent.PARAMETERIZATIONS["exponential"].kappa


@pytest.mark.parametrize("parameterization", ["exponential", "scaled"])
def test_radii_are_the_root_of_the_size_where_the_list_has_the_shell(parameterization):
    """1 in a Euclidean component; not part of the weights."""
    product = Product(parse("e2,3,2"), parameterization)
    root = [1.0] * 2 + [math.sqrt(3)] * 3 + [math.sqrt(2)] * 2
    assert product.radius.dtype == torch.float32
    assert torch.equal(product.radius, torch.tensor(root))
    assert Product(parse("e2,e3"), parameterization).radius is None
    assert not product.state_dict()


@pytest.mark.parametrize("text", ["e2,3,2", "3,2", "e2"])
def test_the_paper_has_no_radius(text):
    assert Product(parse(text), "paper").radius is None


@pytest.mark.parametrize("parameterization", PARAMETERIZATIONS)
@pytest.mark.parametrize("kappa_grad", config.KAPPA_GRADIENTS)
def test_draws_have_length_1_under_every_parameterization(parameterization, kappa_grad):
    product = space("e2,3,2,11", parameterization, kappa_grad)
    _, *shells = drawn(product, head_of(product)).z.split([2, 3, 2, 11], -1)
    for shell in shells:
        assert (shell.norm(dim=-1) - 1).abs().max() <= 8 * EPS


def test_reinforce_draws_as_naive_does():
    head = head_of(space("e2,3,2"))
    naive, reinforce = (
        drawn(space("e2,3,2", "exponential", kappa_grad), head)
        for kappa_grad in ("naive", "reinforce")
    )
    assert torch.equal(naive.z, reinforce.z) and torch.equal(naive.kl, reinforce.kl)
    assert torch.equal(naive.log_weight, reinforce.log_weight)


@pytest.mark.parametrize("kappa_grad", ["naive", "reinforce"])
def test_gradients_through_a_draw_are_the_naive_ones(kappa_grad):
    product = space("3,2", "exponential", kappa_grad)
    head = head_of(product).requires_grad_()
    z = drawn(product, head).z
    (seen,) = torch.autograd.grad(z.sum(), head)
    direction = head[:, :5].detach().requires_grad_()
    raw = head[:, 5:].detach().requires_grad_()
    kappa = (0.5 * raw).exp() * torch.tensor([3.0, 2.0], dtype=torch.float64)
    rng = random.stream(5, "user", step=2)
    z, *_ = ops.sample(direction, kappa, [3, 2], rng, SAMPLES, "naive")
    assert torch.equal(seen, torch.cat(torch.autograd.grad(z.sum(), (direction, raw)), 1))


@pytest.mark.parametrize("text", ["3,2,11", "e2,3,e1,2,11"])
def test_the_score_is_0_and_has_the_gradient_of_every_shell(text):
    """sum over shells of the slope of its proposal times dkappa/dhead = kappa/2."""
    dims = [3, 2, 11]
    product = space(text, "exponential", "reinforce")
    head = head_of(product, scale=1.0).requires_grad_()
    draw = drawn(product, head)
    assert draw.score.shape == (SAMPLES, ROWS) and (draw.score == 0).all()
    generator = torch.Generator().manual_seed(2)
    arriving = torch.randn(SAMPLES, ROWS, generator=generator, dtype=torch.float64)
    (seen,) = torch.autograd.grad(draw.score, head, arriving)
    raw = head[:, 16:19].detach()
    kappa = (0.5 * raw).exp() * torch.tensor(dims, dtype=torch.float64)
    _, v, _, _ = ops.sample(
        head[:, :16].detach(), kappa, dims, random.stream(5, "user", step=2), SAMPLES
    )
    parts = arriving[..., None] * proposal_score(kappa, v, dims) * kappa / 2
    bound = (SAMPLES + 8) * EPS * parts.abs().sum(0)
    assert ((seen[:, 16:19] - parts.sum(0)).abs() <= bound).all()
    assert (seen[:, :16] == 0).all() and (seen[:, 19:] == 0).all()


@pytest.mark.parametrize("text", ["3,2", "e2,3,2"])
def test_a_draw_whose_numbers_depend_on_no_weight_has_no_score(text):
    def score(components, kappa_grad, fixed=False):
        product = space(components, "exponential", kappa_grad)
        head = head_of(product).requires_grad_(not fixed)
        return product.draw(head, random.stream(0, "user")).score

    assert score(text, "reinforce") is not None
    assert score(text, "implicit") is None and score(text, "naive") is None
    assert score("e2,e3", "reinforce") is None
    assert score(text, "reinforce", fixed=True) is None
    with torch.no_grad():
        assert score(text, "reinforce") is None


def test_concentration_of_a_gaussian_is_its_mean_precision():
    product = space("e2,e1")
    head = torch.tensor([[0, 0, 0, *map(math.log, (0.5, 0.25, 4.0))]], dtype=torch.float64)
    expected = torch.tensor([[3.0, 0.25]], dtype=torch.float64)
    torch.testing.assert_close(product.concentration(head), expected, rtol=4 * EPS, atol=0)


def test_every_output_of_the_head_has_its_component():
    product = Product(parse("e2,3,e1,2"))
    # Directions of 3 and 2, their concentrations, means and log variances of e2 and e1.
    owners = [1, 1, 1, 3, 3, 1, 3, 0, 0, 2, 0, 0, 2]
    for column, owner in enumerate(owners):
        marked = product.components(torch.arange(product.heads) == column)
        assert marked.tolist() == [i == owner for i in range(4)]
