"""hvae.latent.product: every component, packed, in the order of the list."""

import itertools
import math

import pytest
import torch
from parts import EstimatedGaussian
from spaces import EPS, ROWS, SAMPLES, drawn, gaussians, raw_of, space, stream
from torch.distributions import Independent, Normal

import hvae.latent.product
from hvae import ops, random
from hvae.distributions import HypersphericalUniform, VonMisesFisher
from hvae.latent import KAPPA_GRADIENTS, KINDS, Component, LatentOptions, Product, parse


@pytest.mark.parametrize("text", ["5,2,3,3", "e3,e4", "4,3,e5,e2", "e3,4,e2,5", "e1,2"])
def test_components_are_in_the_order_of_the_list(text):
    """Shells have length 1 where the list has them; KL and kappa are by component."""
    product = space(text)
    raw = raw_of(product)
    draw = drawn(product, raw)
    components, posterior = product.components, product.posterior(raw)
    assert draw.z.shape == (SAMPLES, ROWS, product.size)
    assert draw.kl.shape == (ROWS, len(components))
    sizes = [component.size for component in components]
    by_component = draw.z.split(sizes, -1)
    modes = posterior.mode().split(sizes, -1)
    kappa = posterior.concentration
    total = torch.zeros_like(draw.log_weight)
    for i, component in enumerate(components):
        alone = space(str(component))
        if component.kind == "":
            one = torch.ones(SAMPLES, ROWS, dtype=torch.float64)
            torch.testing.assert_close(by_component[i].norm(dim=-1), one, rtol=0, atol=8 * EPS)
            kl, _ = ops.vmf(kappa[:, i : i + 1], [component.size], "KL")
            w = (by_component[i] * modes[i]).sum(-1)
            growth, _ = ops.vmf(kappa[:, i : i + 1], [component.size], "L")
            total += growth[:, 0] - kappa[:, i] * w
        else:
            columns = raw[:, product.raw_owner == i]
            kl = drawn(alone, columns).kl
            posterior, prior = gaussians(columns, component.size)
            total += prior.log_prob(by_component[i]) - posterior.log_prob(by_component[i])
        torch.testing.assert_close(draw.kl[:, i : i + 1], kl, rtol=1e-13, atol=1e-12)
    torch.testing.assert_close(draw.log_weight, total, rtol=0, atol=1e-8)


def test_components_do_not_share_numbers():
    """Equal parameters give different draws in every component of a kind, and in every kind."""
    product = space("4,4,e4,e4")
    raw = torch.zeros(ROWS, product.raw_width, dtype=torch.float64)
    parts = drawn(product, raw).z.split(4, -1)
    for i, one in enumerate(parts):
        for other in parts[:i]:
            assert not torch.isclose(one, other, rtol=0, atol=1e-9).any()


def test_a_draw_depends_on_its_place_only():
    product = space("5,e3")
    raw = raw_of(product)
    whole = drawn(product, raw).z
    part = product.posterior(raw[2:4]).draw(stream(row=2, sample=7), 3).z
    assert torch.equal(part, whole[7:10, 2:4])


@pytest.mark.parametrize("kappa_grad", KAPPA_GRADIENTS)
@pytest.mark.parametrize("text", ["5,2,e3", "e3,11,e2,3", "e4"])
def test_the_gradient_of_a_draw_depends_on_its_place_only(text, kappa_grad):
    """That of sample 7 of rows 2 and 3, drawn with all others and drawn alone, bit for bit: of z,
    and of the score where there is one.
    """
    product = space(text, "exponential", kappa_grad)
    raw = raw_of(product, scale=1.0)
    slope = torch.arange(1.0, product.size + 1, dtype=torch.float64)

    def gradients(leaf, draw, sample, rows):
        values = [draw.z[sample, rows] @ slope]
        values += [] if draw.score is None else [draw.score[sample, rows]]
        return [torch.autograd.grad(x.sum(), leaf, retain_graph=True)[0] for x in values]

    def alone(sample):
        leaf = raw[2:4].clone().requires_grad_()
        draw = product.posterior(leaf).draw(stream(row=2, sample=sample))
        return gradients(leaf, draw, 0, slice(None))

    everywhere = raw.clone().requires_grad_()
    whole = gradients(everywhere, drawn(product, everywhere), 7, slice(2, 4))
    assert len(whole) == 1 + (kappa_grad == "reinforce" and text != "e4")
    for one, same, other in zip(whole, alone(7), alone(8), strict=True):
        assert torch.equal(one[2:4], same) and not torch.equal(one[2:4], other)
        assert (one[:2] == 0).all() and (one[4:] == 0).all()


@pytest.mark.parametrize("text", ["3,4,5", "2," * 39 + "2", "e2,e3", "3,4,e2,e3"])
def test_components_are_packed_and_raw_parameters_are_views(text, monkeypatch):
    """One call a family, whatever the number of shells, on views of the network's output."""
    product = Product(parse(text))
    raw = raw_of(product).float().requires_grad_()
    storage = raw.untyped_storage().data_ptr()
    calls = []

    def sample(direction, kappa, *arguments, **options):
        calls.append("sample")
        assert direction.untyped_storage().data_ptr() == storage
        assert direction.stride() == raw.stride()
        return kernels["sample"](direction, kappa, *arguments, **options)

    def normal(*arguments, **options):
        calls.append("normal")
        return kernels["normal"](*arguments, **options)

    kernels = {"sample": ops.sample, "normal": ops.normal}
    monkeypatch.setattr(ops, "sample", sample)
    monkeypatch.setattr(ops, "normal", normal)
    product.posterior(raw).draw(random.stream(0, "user"))
    kinds = {component.kind for component in product.components}
    assert calls == ["sample"] * ("" in kinds) + ["normal"] * ("e" in kinds)


@pytest.mark.parametrize("text", ["2,3,11", "e3", "e2,4"])
def test_gradients_reach_every_raw_parameter(text):
    product = space(text)
    raw = raw_of(product, scale=1.0).requires_grad_()
    draw = product.posterior(raw).draw(random.stream(3, "user"))
    (draw.z * torch.arange(1, product.size + 1)).sum().backward()
    assert raw.grad.isfinite().all() and (raw.grad != 0).all()
    raw.grad = None
    product.posterior(raw).draw(random.stream(3, "user")).kl.sum().backward()
    reached = (raw.grad != 0).all(0)
    directions = torch.zeros(product.raw_width, dtype=torch.bool)
    directions[: sum(c.size for c in product.components if c.kind == "")] = True
    assert torch.equal(reached, ~directions)  # a KL from the uniform prior ignores the direction


def test_the_mean_kl_of_a_draw_is_minus_its_mean_log_weight():
    """E_q[log q - log p] = KL, for all components together, within five standard errors."""
    product = space("2,3,10,e4")
    raw = raw_of(product, rows=3, scale=1.0)
    draw = drawn(product, raw, samples=20_000)
    mean, error = draw.log_weight.mean(0), draw.log_weight.std(0) / math.sqrt(20_000)
    assert ((mean + draw.kl.sum(1)).abs() < 5 * error).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_prior_samples(dtype):
    """Shells: unit length, mean 0, covariance I/m; Gaussian: mean 0, variance 1."""
    product = Product(parse("e2,3,2"))
    count = 20_000
    z = product.prior.sample(random.stream(0, "prior"), 2, count // 2, dtype)
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


@pytest.mark.parametrize("parameterization", ["exponential", "scaled"])
def test_radii_are_the_root_of_the_size_where_the_list_has_the_shell(parameterization):
    """1 in a Euclidean component; not part of the weights."""
    options = LatentOptions(parameterization)
    product = Product(parse("e2,3,2"), options)
    root = [1.0] * 2 + [math.sqrt(3)] * 3 + [math.sqrt(2)] * 2
    assert product.radius.dtype == torch.float32
    assert torch.equal(product.radius, torch.tensor(root))
    assert Product(parse("e2,e3"), options).radius is None
    assert not product.state_dict()


def test_every_raw_parameter_has_its_component():
    product = Product(parse("e2,3,e1,2"))
    # Directions of 3 and 2, their concentrations, means and log variances of e2 and e1.
    owners = [1, 1, 1, 3, 3, 1, 3, 0, 0, 2, 0, 0, 2]
    for column, owner in enumerate(owners):
        marked = product.owners_of(torch.arange(product.raw_width) == column)
        assert marked.tolist() == [i == owner for i in range(4)]


LISTS = [",".join(order) for order in itertools.permutations(("2", "e3", "5", "e1"))]


def densities(product, raw):
    """log q(z | x) and log p(z) as functions of z, component by component, by other means."""
    posterior = product.posterior(raw)
    modes = posterior.mode().split([c.size for c in product.components], -1)
    found = []
    for i, component in enumerate(product.components):
        if component.kind == "":
            kappa = posterior.concentration[:, i]
            pair = VonMisesFisher(modes[i], kappa), HypersphericalUniform(component.size)
        else:
            mean, log_variance = raw[:, product.raw_owner == i].split(component.size, 1)
            normal = Normal(mean, (0.5 * log_variance).exp())
            standard = Normal(torch.zeros_like(mean), torch.ones_like(mean))
            pair = Independent(normal, 1), Independent(standard, 1)
        found.append(pair)
    return found


@pytest.mark.parametrize("text", LISTS)
def test_the_log_weight_is_the_prior_less_the_posterior_in_every_order_of_the_list(text):
    """To the rounding of z: that moves k v by k sqrt(2 v) < 2 k times a few ulps, and the square
    of a standardized coordinate, below 6^2, by |z| / sigma < e^4 ulps times 12."""
    product = space(text)
    raw = raw_of(product, scale=1.0)
    draw = drawn(product, raw)
    kappa = product.posterior(raw).concentration.max().item()
    parts = draw.z.split([c.size for c in product.components], -1)
    posterior, prior = (
        sum(distribution.log_prob(part) for distribution, part in zip(side, parts, strict=True))
        for side in zip(*densities(product, raw), strict=True)
    )
    bound = (100 * kappa + 12 * math.exp(4) * 4) * EPS
    log_prior = product.prior.log_prob(draw.z)
    assert (log_prior - prior).abs().max() <= bound
    assert (draw.log_weight - (log_prior - posterior)).abs().max() <= bound


@pytest.mark.parametrize("text", [*LISTS, "3,2,4", "e2", "2,e1"])
def test_points_are_split_as_they_are_joined(text):
    """Family by family, whatever the order of the list: spheres first."""
    product = space(text)
    z = torch.arange(2 * product.size, dtype=torch.float64).reshape(2, 1, -1)
    parts = product.split_points(z)
    kinds = [kind for kind in KINDS if any(c.kind == kind for c in product.components)]
    by_component = dict(enumerate(z.split([c.size for c in product.components], -1)))
    for kind, part in zip(kinds, parts, strict=True):
        members = [by_component[i] for i, c in enumerate(product.components) if c.kind == kind]
        assert torch.equal(part, torch.cat(members, -1))
    assert torch.equal(product.join_points(parts), z)


class TestAnotherKind:
    """A family of another package beside ours: its weights, radii and numbers are its own."""

    @pytest.fixture(autouse=True)
    def kinds(self, monkeypatch):
        monkeypatch.setattr(hvae.latent.product, "KINDS", {**KINDS, "x": EstimatedGaussian})

    components = (
        Component("x", 2),
        Component("", 3),
        Component("e", 1),
        Component("x", 4),
        Component("", 2),
    )

    def test_initialize_changes_its_own_rows_only(self):
        product = Product(self.components)
        generator = torch.Generator().manual_seed(0)
        before = torch.randn(product.raw_width, 7, generator=generator)
        weight, bias = before.clone(), before[:, 0].clone()
        product.initialize(weight, bias)
        own = product.owners_of(torch.ones(product.raw_width, dtype=torch.bool)).nonzero().flatten()
        assert own.tolist() == [0, 1, 2, 3, 4]
        of_x = (product.raw_owner == 0) | (product.raw_owner == 3)
        assert of_x.sum() == 12
        assert (weight[of_x] == 0).all()
        assert sorted(bias[of_x].tolist()) == [-2.0] * 6 + [1.0] * 6
        assert torch.equal(weight[~of_x], before[~of_x])
        assert torch.equal(bias[~of_x], before[~of_x, 0])

    def test_every_coordinate_has_the_radius_of_its_component(self):
        radius = Product(self.components).radius.double()
        expected = [2.0] * 2 + [math.sqrt(3)] * 3 + [1.0] + [4.0] * 4 + [math.sqrt(2)] * 2
        assert radius.tolist() == pytest.approx(expected, rel=2**-24)

    def test_only_its_own_radii_matter_where_there_is_no_sphere(self):
        components = (Component("e", 1), Component("x", 2))
        assert Product(components).radius.tolist() == [1.0, 2.0, 2.0]
        z = torch.ones(3, 3)
        assert Product(components).to_decoder(z).tolist() == [[1.0, 2.0, 2.0]] * 3
        paper = Product((Component("", 3), Component("e", 1)), LatentOptions("paper"))
        assert paper.to_decoder(z) is z

    def test_it_shares_no_numbers_with_ours(self):
        components = (Component("x", 3), Component("e", 3))
        noise = Product(components).prior.sample(random.stream(0, "prior"), 4, 5)
        first = ops.normal(random.stream(0, "prior"), 4, 5, 3, shell=0)
        second = ops.normal(random.stream(0, "prior"), 4, 5, 3, shell=1)
        assert torch.equal(noise[..., 3:], first) and torch.equal(noise[..., :3], second)

    def test_its_kl_is_its_own_in_the_order_of_the_list(self):
        """An estimate beside closed forms: within five standard errors of the closed form."""
        product = Product(self.components).double()
        raw = raw_of(product, scale=0.5)
        draw = drawn(product, raw, samples=20_000)
        for i, kind in ((0, "e2"), (3, "e4")):
            alone = space(kind)
            columns = raw[:, product.raw_owner == i]
            closed = drawn(alone, columns).kl[:, 0]
            log_weight = drawn(alone, columns, samples=20_000).log_weight
            error = log_weight.std(0) / math.sqrt(20_000)
            assert ((draw.kl[:, i] - closed).abs() < 5 * error).all()
            assert (draw.kl[:, i] != closed).all()
