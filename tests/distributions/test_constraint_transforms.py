"""biject_to and transform_to of the constraints of hvae.distributions."""

import math

import pytest
import torch
from directions import DOUBLE, directions
from torch.distributions import (
    Cauchy,
    Normal,
    TransformedDistribution,
    biject_to,
    transform_to,
)

from hvae.distributions import HypersphericalUniform, VonMisesFisher, VonMisesFisherProduct
from hvae.distributions.constraints import Concentrations, Scales, UnitVectors

SHELLS = [(2,), (5,), (2, 3, 7)]


@pytest.mark.parametrize("dims", SHELLS)
def test_projection_is_a_bijection(dims, dtype):
    """To 16 eps of x on every shell, from 1e-3 to 1e6 of the point 0, and to 4 eps of length 1."""
    transform, flat = biject_to(UnitVectors(dims)), [m - 1 for m in dims]
    eps = torch.finfo(dtype).eps
    for scale in (1e-3, 1.0, 1e3, 1e6):
        parts = [scale * directions(20, m, dtype=dtype) for m in flat]
        x = torch.cat(parts, -1)
        y = transform(x)
        assert y.shape == transform.forward_shape(x.shape) and y.dtype == dtype
        assert transform.inverse_shape(y.shape) == x.shape
        for shell in y.split(dims, -1):
            assert ((shell.norm(dim=-1) - 1).abs() <= 4 * eps).all()
        for back, part in zip(transform.inv(y).split(flat, -1), parts, strict=True):
            assert ((back - part).norm(dim=-1) <= 16 * eps * scale).all(), scale
    assert transform.bijective and transform.codomain.check(y).all()
    assert transform(torch.zeros(sum(flat), dtype=dtype))[0] == 1


@pytest.mark.parametrize("dims", SHELLS)
def test_determinant_of_the_projection(dims):
    """log sqrt det(J^T J), J the derivative by autograd."""
    transform, x = biject_to(UnitVectors(dims)), torch.randn(4, sum(dims) - len(dims), dtype=DOUBLE)
    value = transform.log_abs_det_jacobian(x, transform(x))
    assert value.shape == (4,)
    for one, expected in zip(x, value, strict=True):
        jacobian = torch.autograd.functional.jacobian(transform, one)
        assert torch.logdet(jacobian.T @ jacobian) / 2 == pytest.approx(expected.item(), rel=1e-12)
    assert torch.autograd.gradcheck(lambda x: transform.inv(transform(x)), x.requires_grad_())


def test_the_uniform_circle_is_a_cauchy_line():
    """Its density in the coordinate x = tan(angle/2), dx and d(area) together."""
    circle, x = HypersphericalUniform(2, dtype=DOUBLE), torch.linspace(-9, 9, 19, dtype=DOUBLE)
    transform = biject_to(circle.support)
    z = transform(x[:, None])
    value = circle.log_prob(z) + transform.log_abs_det_jacobian(x[:, None], z)
    line = Cauchy(torch.zeros((), dtype=DOUBLE), torch.ones((), dtype=DOUBLE))
    torch.testing.assert_close(value, line.log_prob(x), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("dims", SHELLS)
def test_normalisation(dims, dtype):
    """Any vector has a direction, 0 that of e_1, with finite gradients."""
    transform = transform_to(UnitVectors(dims))
    x = torch.cat(
        (torch.randn(3, sum(dims), dtype=dtype) * 9, torch.zeros(1, sum(dims), dtype=dtype))
    )
    x.requires_grad_()
    y = transform(x)
    assert transform.codomain.check(y).all()
    assert (torch.stack([part[3, 0] for part in y.split(dims, -1)]) == 1).all()
    assert torch.autograd.grad(y.square().sum() + y.sum(), x)[0].isfinite().all()
    torch.testing.assert_close(transform(transform.inv(y)), y)


@pytest.mark.parametrize("find", [biject_to, transform_to])
def test_constraints_without_a_dimension(find):
    """Of the class, whose vectors are one shell each; concentrations by exp."""
    loc = find(VonMisesFisher.arg_constraints["loc"])
    x = torch.randn(6, 4, dtype=DOUBLE)
    assert torch.equal(loc(x), find(UnitVectors([loc.forward_shape(x.shape)[-1]]))(x))
    for event_dim in (0, 1):
        transform = find(Concentrations(event_dim))
        assert torch.equal(transform(x), x.exp())
        assert transform.domain.event_dim == transform.codomain.event_dim == event_dim
        assert transform.log_abs_det_jacobian(x, x.exp()).shape == x.shape[: 2 - event_dim]


def test_every_parameter_has_a_transform():
    """Constrained from zeros, as initial values are, and back; equal transforms are equal."""
    pair = torch.cat((directions(4, 2), directions(4, 3)), -1)
    product = VonMisesFisherProduct(pair, torch.ones(4, 2, dtype=DOUBLE), (2, 3))
    for vmf in (VonMisesFisher(directions(4, 3), 2.0), product):
        for name, constraint in vmf.arg_constraints.items():
            for find in (biject_to, transform_to):
                transform, value = find(constraint), getattr(vmf, name)
                torch.testing.assert_close(transform(transform.inv(value)), value)
                assert constraint.check(transform(torch.zeros_like(transform.inv(value)))).all()


@pytest.mark.parametrize("find", [biject_to, transform_to])
def test_transforms_compare_and_remember(find):
    """Those of the same shells are equal; with a cache an inverse is what it came from."""
    transform, x = find(UnitVectors((2, 3))), torch.randn(4, 5, dtype=DOUBLE)
    assert transform == find(UnitVectors((2, 3))) != find(UnitVectors((3, 2)))
    assert len({transform, find(UnitVectors((2, 3)))}) == 1
    cached, x = transform.with_cache(), x[:, : transform.inverse_shape((5,))[-1]]
    assert cached == transform and cached.inv(cached(x)) is x


@pytest.mark.parametrize("kappa", [1e2, 1e4])
def test_a_guide_through_the_projection(kappa):
    """A Gaussian in the projection, of Laplace's scale, is a vMF's but for a KL of order 1/kappa.

    The projection is conformal with scale 2/(1 + |x|^2), so the scale is isotropic. The log ratios
    have a deviation below kappa^(-1/2), so the mean of 160,000 a standard error below 0.25/kappa.
    """
    target = VonMisesFisher([0.48, 0.6, 0.64], torch.tensor(kappa, dtype=DOUBLE))
    transform = biject_to(target.support)
    centre = transform.inv(target.loc).requires_grad_()
    scale = (1 + centre.square().sum()) / 2 / math.sqrt(kappa)
    guide = TransformedDistribution(Normal(centre, scale).expand((2,)), [transform])
    assert guide.event_shape == (3,) and guide.batch_shape == ()
    z = guide.rsample((160_000,))
    divergence = (guide.log_prob(z) - target.log_prob(z)).mean()
    assert -1 / kappa < divergence < 5 / kappa
    assert torch.autograd.grad(divergence, centre)[0].isfinite().all()


def test_scales():
    """Of any real vector a scale that is allowed, of 0 the scale 1."""
    for registry in (biject_to, transform_to):
        transform = registry(Scales())
        x = torch.tensor([[-800.0, 0.0, 800.0], [0.3, -2.0, 5.0]], dtype=DOUBLE)
        scale = transform(x)
        assert Scales().check(scale[1:]).all() and scale[0, 1] == 1
        assert (scale[0].log().abs() <= 30).all()
        torch.testing.assert_close(transform.inv(scale)[1], x[1])
        assert transform.log_abs_det_jacobian(x, scale).shape == (2,)
