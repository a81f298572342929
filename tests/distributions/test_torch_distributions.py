"""hvae.distributions among torch's: shapes, dtypes, Independent, mixtures, compile and vmap."""

import copy
import math
import pickle
import warnings

import pytest
import torch
from directions import DOUBLE, directions
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    constraints,
    kl_divergence,
)

from hvae.distributions import (
    HypersphericalUniform,
    HypersphericalUniformProduct,
    VonMisesFisher,
    VonMisesFisherProduct,
)


@pytest.mark.parametrize(
    "loc, kappa, batch",
    [
        ((4,), (), ()),
        ((3, 4), (), (3,)),
        ((4,), (3,), (3,)),
        ((5, 1, 4), (3,), (5, 3)),
        ((0, 4), (), (0,)),
    ],
)
def test_shapes(loc, kappa, batch, dtype):
    vmf = VonMisesFisher(directions(*loc, dtype=dtype), torch.rand(kappa, dtype=dtype))
    assert vmf.batch_shape == batch and vmf.event_shape == (4,)
    assert vmf.loc.shape == (*batch, 4) and vmf.concentration.shape == batch
    for shape in ((), (2,), (2, 3), (0,), (3, 0, 2)):
        for z in (vmf.sample(shape), vmf.rsample(torch.Size(shape))):
            assert z.shape == (*shape, *batch, 4) and z.dtype == dtype
            assert vmf.log_prob(z).shape == (*shape, *batch)
    for value in (vmf.entropy(), kl_divergence(vmf, vmf), vmf.log_prob(directions(4, dtype=dtype))):
        assert value.shape == batch and value.dtype == dtype
    assert vmf.mean.shape == vmf.mode.shape == vmf.variance.shape == (*batch, 4)
    wider = vmf.expand((2, *batch))
    assert wider.batch_shape == (2, *batch) and wider.sample((7,)).shape == (7, 2, *batch, 4)
    assert torch.equal(wider.entropy()[1], vmf.entropy())
    assert "4" in repr(vmf)


FAMILIES = [
    VonMisesFisher,
    VonMisesFisherProduct,
    HypersphericalUniform,
    HypersphericalUniformProduct,
]


@pytest.mark.parametrize("family", FAMILIES)
def test_classes_say_what_their_constraints_are(family):
    """Without an instance: event_dim and is_discrete, as those who infer shapes ask for them."""
    assert isinstance(family.support, constraints.Constraint)
    assert family.support.event_dim == 1 and family.support.is_discrete is False
    sizes = {"VonMisesFisher": {"loc": 1, "concentration": 0}}
    sizes["VonMisesFisherProduct"] = {"loc": 1, "concentration": 1}
    found = {name: c.event_dim for name, c in family.arg_constraints.items()}
    assert found == sizes.get(family.__name__, {})


def test_instances_check_their_constraints():
    """An instance has its own shells in them, in a wider batch too."""
    loc, kappa = torch.cat((directions(4, 2), directions(4, 3)), -1), torch.ones(4, 2, dtype=DOUBLE)
    product = VonMisesFisherProduct(loc, kappa, (2, 3))
    for vmf in (VonMisesFisher(directions(4, 3), 2.0), product, product.expand((2, 4))):
        for name, constraint in vmf.arg_constraints.items():
            assert not constraints.is_dependent(constraint)
            value = getattr(vmf, name)
            assert (
                constraint.check(value).shape == value.shape[: value.dim() - constraint.event_dim]
            )
            assert constraint.check(value).all() and not constraint.check(value - 3).any()
        z = vmf.sample((3,))
        assert vmf.support.check(z).all() and not vmf.support.check(2 * z).any()
        assert vmf.support.check(z).shape == (3, *vmf.batch_shape)
    together = Independent(VonMisesFisher(directions(4, 3), 2.0), 1).support
    assert together.event_dim == 2 and together.check(directions(5, 4, 3)).shape == (5,)


@pytest.mark.parametrize(
    "loc, kappa, batch",
    [((5, 4), (5, 1), (5, 5)), ((1, 4), (1, 1), (1, 1)), ((3, 3, 4), (3, 3, 1), (3, 3, 3))],
)
def test_a_column_of_concentrations_is_warned_of(loc, kappa, batch):
    """It broadcasts against the rows, as every batch shape does; the warning has both shapes."""
    with pytest.warns(UserWarning) as caught:
        vmf = VonMisesFisher(directions(*loc), torch.ones(kappa, dtype=DOUBLE))
    assert vmf.batch_shape == batch
    (warning,) = caught
    assert str(kappa) in str(warning.message) and str(loc) in str(warning.message)
    assert str(batch) in str(warning.message) and warning.filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        VonMisesFisher(directions(*loc), torch.ones(kappa[:-1], dtype=DOUBLE))
        VonMisesFisher(directions(*loc)[0], torch.ones(kappa, dtype=DOUBLE))


def test_numbers_and_lists_are_parameters(dtype, device):
    """In the dtype and on the device of the other parameter, or torch's default ones."""
    loc, kappa = [[0.6, 0.8], [0.0, -1.0]], [3, 4.5]
    tensors = [torch.tensor(x, dtype=dtype) for x in (loc, kappa)]
    expected = VonMisesFisher(*tensors)
    for vmf in (VonMisesFisher(loc, tensors[1]), VonMisesFisher(tensors[0], tuple(kappa))):
        assert torch.equal(vmf.loc, expected.loc)
        assert torch.equal(vmf.concentration, expected.concentration)
        assert vmf.loc.dtype == vmf.concentration.dtype == dtype
        assert vmf.loc.device.type == vmf.concentration.device.type == device
    assert VonMisesFisher([0.6, 0.8], 3).concentration.dtype == torch.get_default_dtype()
    product = VonMisesFisherProduct([1, 0, 0, 1], [1, 2], (2, 2))
    assert product.loc.tolist() == [1, 0, 0, 1] and product.concentration.tolist() == [1, 2]
    half = VonMisesFisher(torch.tensor([0.0, 1.0], dtype=torch.float16), 1e5 + 1)
    assert half.concentration.item() == 1e5 + 1  # no number of float16


@pytest.mark.parametrize("reduced", [torch.float32, torch.float16])
@pytest.mark.parametrize("shape", [None, (2, 3)])
def test_parameters_are_in_the_graph(reduced, shape):
    """As of torch's distributions: of loc and concentration themselves, and of expanded ones."""
    loc, kappa = directions(3, 5), torch.rand(3, 2, dtype=DOUBLE) * 9 + 1
    pair = torch.cat((directions(3, 2), directions(3, 3)), -1)
    for plain in (
        VonMisesFisher(loc.to(reduced).requires_grad_(), kappa[:, 0].float().requires_grad_()),
        VonMisesFisherProduct(pair.to(reduced).requires_grad_(), kappa.requires_grad_(), (2, 3)),
    ):
        vmf = plain if shape is None else plain.expand(shape)
        parameters = [vmf.loc, vmf.concentration]
        z = vmf.rsample((4,))
        for value in (z, vmf.log_prob(z.detach()), vmf.mean, vmf.variance, kl_divergence(vmf, vmf)):
            for gradient in torch.autograd.grad(value.square().sum(), parameters):
                assert gradient.isfinite().all()
        (slope,) = torch.autograd.grad(vmf.entropy().sum(), [vmf.concentration])
        assert (slope < 0).all()


class Named(VonMisesFisher):
    """A subclass whose __init__ sets an attribute that expand does not know."""

    def __init__(self, loc, concentration, name):
        super().__init__(loc, concentration)
        self.name = name


class NamedThroughout(Named):
    """The same with an expand of its own, as torch.distributions asks for."""

    def expand(self, batch_shape, _instance=None):
        new = self._get_checked_instance(NamedThroughout, _instance)
        new.name = self.name
        return super().expand(batch_shape, new)


def test_subclasses_expand():
    """One without an __init__ expands as it is; one with it defines expand, or is refused."""
    loc = directions(4)
    plain = type("Plain", (VonMisesFisher,), {})(loc, 2.0)
    assert type(plain.expand((3,))) is type(plain)
    with pytest.raises(NotImplementedError, match="must also define a custom .expand"):
        Named(loc, 2.0, "north").expand((3,))
    wider = NamedThroughout(loc, 2.0, "north").expand((3,))
    assert wider.name == "north" and wider.sample().shape == (3, 4)


def test_strided_parameters():
    loc, kappa = directions(6, 9, 5)[::2, 1::3], (torch.rand(3, 6, dtype=DOUBLE) * 9).T[::2]
    z = directions(6, 3, 5).transpose(0, 1).transpose(0, 1)[::2]
    strided = VonMisesFisher(loc, kappa)
    plain = VonMisesFisher(loc.contiguous(), kappa.contiguous())
    torch.manual_seed(3)
    draw = strided.sample((2,))
    torch.manual_seed(3)
    assert torch.equal(draw, plain.sample((2,)))
    assert torch.equal(strided.log_prob(z), plain.log_prob(z.contiguous()))
    assert torch.equal(strided.entropy(), plain.entropy())


def test_independent_and_mixture():
    loc, kappa = directions(4, 3), torch.tensor([0.5, 3.0, 20.0, 100.0], dtype=DOUBLE)
    vmf = VonMisesFisher(loc, kappa)
    z = vmf.sample((6,))
    together = Independent(vmf, 1)
    torch.testing.assert_close(together.log_prob(z), vmf.log_prob(z).sum(-1))
    uniform = Independent(HypersphericalUniform(3, dtype=DOUBLE).expand((4,)), 1)
    expected = kl_divergence(vmf, HypersphericalUniform(3, dtype=DOUBLE)).sum()
    torch.testing.assert_close(kl_divergence(together, uniform), expected)

    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=DOUBLE)
    mixture = MixtureSameFamily(Categorical(weights), vmf)
    x = mixture.sample((20_000,))
    by_hand = torch.logsumexp(vmf.log_prob(x[:, None]) + weights.log(), -1)
    torch.testing.assert_close(mixture.log_prob(x), by_hand)
    # Four standard errors of each of three means: 2e-4.
    error = (x.mean(0) - mixture.mean).abs() / (x.std(0) / math.sqrt(20_000))
    assert error.max() < 4
    torch.testing.assert_close(mixture.variance, x.var(0), rtol=0.05, atol=0)


def everything(raw, kappa, value):
    """Every method of a distribution made inside."""
    unit = torch.nn.functional.normalize
    vmf = VonMisesFisher(unit(raw, dim=-1), kappa)
    uniform = HypersphericalUniform(3, dtype=raw.dtype)
    packed = VonMisesFisherProduct(vmf.loc, kappa[:, None], (3,), validate_args=True)
    mixture = MixtureSameFamily(Categorical(torch.ones_like(kappa)), vmf)
    z = vmf.rsample((2,))
    draws = z * value + packed.rsample() + vmf.expand((2, len(kappa))).rsample()
    densities = vmf.log_prob(z) + packed.log_prob(z) + uniform.log_prob(z)
    mixed = mixture.log_prob(unit(value, dim=-1)) + Independent(vmf, 1).log_prob(z).sum()
    divergences = kl_divergence(vmf, uniform) + kl_divergence(vmf, packed.expand((len(kappa),)))
    moments = vmf.entropy() + vmf.mean.sum(-1) + vmf.variance.sum(-1)
    moments = moments + packed.covariance_matrix.sum((-2, -1))
    return draws.sum() + densities.sum() + mixed.sum() + divergences.sum() + moments.sum()


@pytest.mark.slow
def test_compile_fullgraph():
    """One graph, the same key from torch's generator, the same gradients.

    torch.compile turns the validation of torch's own distributions off, here before the first one.
    """
    torch._dynamo.reset()
    torch.distributions.Distribution.set_default_validate_args(False)
    raw = torch.randn(4, 3, dtype=DOUBLE, requires_grad=True)
    kappa = (torch.rand(4, dtype=DOUBLE) * 9).requires_grad_()
    value = torch.randn(4, 3, dtype=DOUBLE)
    compiled = torch.compile(everything, fullgraph=True, backend="aot_eager")
    results = []
    for function in (everything, compiled):
        torch.manual_seed(7)
        loss = function(raw, kappa, value)
        results.append((loss, *torch.autograd.grad(loss, (raw, kappa))))
    for eager, graph in zip(*results, strict=True):
        torch.testing.assert_close(graph, eager)


def test_compile_for_changing_batches():
    torch._dynamo.reset()
    torch.distributions.Distribution.set_default_validate_args(False)

    def step(loc, kappa):
        return VonMisesFisher(loc, kappa).rsample((2,))

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager", dynamic=True)
    for rows in (3, 5):
        loc, draws = directions(rows, 4), []
        for function in (step, compiled):
            torch.manual_seed(7)
            draws.append(function(loc, torch.ones(rows, dtype=DOUBLE)))
        torch.testing.assert_close(*draws)


def test_compiled_code_validates_nothing():
    torch._dynamo.reset()

    def density(loc, kappa, z):
        return VonMisesFisher(loc, kappa, validate_args=True).log_prob(z)

    compiled = torch.compile(density, fullgraph=True, backend="aot_eager")
    assert compiled(directions(4), torch.tensor(-1.0, dtype=DOUBLE), directions(4)).isnan()


def test_vmap():
    raw, kappa = torch.randn(4, 3, dtype=DOUBLE), torch.rand(4, dtype=DOUBLE) * 9
    points, others = directions(4, 3), directions(4, 3)

    def density(raw, kappa, z, other):
        vmf = VonMisesFisher(torch.nn.functional.normalize(raw, dim=-1), kappa)
        apart = kl_divergence(vmf, VonMisesFisher(other, kappa + 1))
        return vmf.log_prob(z), vmf.entropy(), vmf.mean, apart

    batched = torch.vmap(density)(raw, kappa, points, others)
    for one, all_ in zip(batched, density(raw, kappa, points, others), strict=True):
        torch.testing.assert_close(one, all_, rtol=1e-14, atol=1e-14)

    def draw(loc, kappa):
        return VonMisesFisher(loc, kappa).rsample((7,))

    z = torch.vmap(draw, randomness="different")(points, kappa + 1e6)
    assert z.shape == (4, 7, 3) and z.flatten().unique().numel() == z.numel()
    assert ((z * points[:, None]).sum(-1) > 0.99).all()


@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0)])
def test_vmap_with_the_same_randomness(axes):
    """Every element draws as it would alone after the same seed, with its own gradient."""

    def draw(loc, kappa):
        return VonMisesFisher(loc, kappa).rsample((7,))

    def together(*parameters):
        torch.manual_seed(9)
        return torch.vmap(draw, in_dims=axes, randomness="same")(*parameters)

    def one_by_one(*parameters):
        draws = []
        for i in range(4):
            torch.manual_seed(9)
            draws.append(
                draw(
                    *(x if axis is None else x[i] for x, axis in zip(parameters, axes, strict=True))
                )
            )
        return torch.stack(draws)

    full = directions(4, 2, 3), torch.rand(4, 2, dtype=DOUBLE) * 9 + 1
    parameters = [
        (x[0] if axis is None else x).clone().requires_grad_()
        for x, axis in zip(full, axes, strict=True)
    ]
    values = [function(*parameters) for function in (together, one_by_one)]
    torch.testing.assert_close(*values, rtol=1e-14, atol=1e-14)
    gradients = [torch.autograd.grad(z.square().sum() + z.sum(), parameters) for z in values]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda q: pickle.loads(pickle.dumps(q))])
def test_copies(again):
    """A copy and what comes back from a pickle have the same parameters, values and draws."""
    loc, kappa = directions(3, 5), torch.rand(3, dtype=DOUBLE) * 9
    pair = torch.cat((directions(3, 2), directions(3, 3)), -1)
    for q in (
        VonMisesFisher(loc, kappa, kappa_grad="naive"),
        VonMisesFisherProduct(pair, torch.rand(3, 2, dtype=DOUBLE), (2, 3)),
        HypersphericalUniform(5, dtype=DOUBLE).expand((3,)),
        HypersphericalUniformProduct((2, 3), dtype=DOUBLE),
    ):
        other = again(q)
        assert type(other) is type(q) and repr(other) == repr(q) and other.dims == q.dims
        assert getattr(other, "kappa_grad", None) == getattr(q, "kappa_grad", None)
        assert other.batch_shape == q.batch_shape
        draws = []
        for each in (q, other):
            torch.manual_seed(2)
            draws.append(each.sample((2,)))
        assert torch.equal(*draws) and torch.equal(q.log_prob(draws[0]), other.log_prob(draws[0]))
        assert torch.equal(kl_divergence(q, other), kl_divergence(other, q))


def test_half_parameters_are_computed_in_float32():
    for reduced in (torch.float16, torch.bfloat16):
        loc = directions(9, 12).to(reduced).requires_grad_()
        vmf = VonMisesFisher(loc, torch.full((9,), 1e3, dtype=reduced))
        z = vmf.rsample((20,))
        assert z.dtype == vmf.mean.dtype == torch.float32 and vmf.loc.dtype == reduced
        assert vmf.log_prob(z).dtype == vmf.entropy().dtype == torch.float32
        exactly = torch.nn.functional.normalize(loc.float(), dim=-1)
        torch.testing.assert_close(vmf.log_prob(z), VonMisesFisher(exactly, 1e3).log_prob(z))
        assert torch.autograd.grad(z.sum(), loc)[0].dtype == reduced


def test_mixed_precision_is_promoted():
    vmf = VonMisesFisher(directions(4, dtype=torch.float32), torch.tensor(3.0, dtype=DOUBLE))
    assert vmf.sample().dtype == vmf.entropy().dtype == DOUBLE
    narrow = VonMisesFisher(directions(4, dtype=torch.float32), 3.0)
    assert kl_divergence(narrow, vmf).dtype == narrow.log_prob(directions(4)).dtype == DOUBLE
