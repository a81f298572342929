"""hvae.latent: draws, KL and log weights of every component, packed, in the order of the list."""

import math

import pytest
import scipy.special
import torch
from torch.distributions import Independent, Normal, kl_divergence

from hvae import latent, ops, random
from hvae.latent import Product
from hvae.shells import parse

ROWS, SAMPLES = 6, 40
EPS = 2.0**-52  # all of these run in float64


def space(text):
    return Product(parse(text)).double()


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
    product.families[0].kappa = lambda raw: kappa
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
    product.families[0].kappa = lambda raw: torch.full_like(raw, 1e24)
    head = head_of(product)
    z = drawn(product, head).z
    torch.testing.assert_close(product.location(head).expand_as(z), z, rtol=0, atol=1e-10)


def test_location_of_a_zero_head_is_the_first_basis_vector():
    product = Product(parse("3,e2,2"))
    location = product.location(torch.zeros(1, product.heads))
    assert location.tolist() == [[1, 0, 0, 0, 0, 1, 0]]


def test_paper_parameterization():
    product = space("5,6")
    head = head_of(product)
    expected = torch.log1p(head[:, 11:].exp()) + 1
    torch.testing.assert_close(product.concentration(head), expected, rtol=4 * EPS, atol=0)


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
