"""`ops.sample` as an op: what carries gradients, and in which places of the stream it draws."""

import numpy as np
import pytest
import torch
from op_inputs import DIMS, WIDTH, inputs

from hvae import ops, random, reference

pytestmark = pytest.mark.usefixtures("device")


@pytest.mark.parametrize("kappa_grad", ops.KAPPA_GRADIENTS)
def test_a_draw_is_not_differentiated_twice(kappa_grad):
    raw, kappa = inputs(3, torch.float64, grad=True)
    z, _, _, _ = ops.sample(raw, kappa, DIMS, random.stream(1, "user"), 2, kappa_grad)
    slopes = torch.autograd.grad((z**2).sum() + z.sum(), (raw, kappa), create_graph=True)
    for slope in slopes:
        with pytest.raises(RuntimeError, match="no second derivative"):
            torch.autograd.grad(slope.sum(), kappa, retain_graph=True)


def test_only_z_and_kl_carry_gradients():
    raw, kappa = inputs(3, torch.float64, grad=True)
    z, v, theta, kl = ops.sample(raw, kappa, DIMS, random.stream(1, "user"))
    assert z.requires_grad and kl.requires_grad
    assert not v.requires_grad and not theta.requires_grad
    (slope,) = torch.autograd.grad(kl.sum(), kappa, retain_graph=True)
    torch.testing.assert_close(slope, ops.vmf(kappa, DIMS, "KL")[1].detach(), rtol=1e-14, atol=0)
    (no_pull,) = torch.autograd.grad(kl.sum(), raw, retain_graph=True)
    assert (no_pull == 0).all()
    # Only one of the inputs may want a gradient.
    for one, other in ((raw, kappa.detach()), (raw.detach(), kappa)):
        z, _, _, _ = ops.sample(one, other, DIMS, random.stream(1, "user"))
        z.sum().backward()
    assert raw.grad is not None and kappa.grad is not None


def test_a_zero_direction_gets_no_gradient(dtype):
    raw, kappa = inputs(4, dtype)
    raw[2, 5:15] = 0
    raw.requires_grad_()
    z, *_ = ops.sample(raw, kappa, DIMS, random.stream(1, "user"))
    (slope,) = torch.autograd.grad((z * torch.randn_like(z)).sum(), raw)
    assert (slope[2, 5:15] == 0).all() and slope.isfinite().all()
    assert (slope[1] != 0).all()


def draw_shells(first, last, dtype, kappa_grad, dims, shell):
    """Values and gradients of shells first .. last - 1 of `dims`, from index `shell` on."""
    numbers = np.random.default_rng(2)
    raw = torch.tensor(numbers.normal(size=(20, sum(dims))), dtype=dtype)
    kappa = torch.tensor(10 ** numbers.uniform(-2, 3, (20, len(dims))), dtype=dtype)
    arriving = torch.tensor(numbers.normal(size=(3, 20, sum(dims))), dtype=dtype)
    columns = slice(sum(dims[:first]), sum(dims[:last]))
    inputs = raw[:, columns].clone(), kappa[:, first:last].clone()
    for x in inputs:
        x.requires_grad_()
    rng = random.stream(1, "user", step=2, row=3, sample=1)
    z, v, theta, kl = ops.sample(*inputs, dims[first:last], rng, 3, kappa_grad, shell)
    pulls = torch.autograd.grad((z * arriving[..., columns]).sum() + kl.sum(), inputs)
    return z, v, theta, kl, *pulls


@pytest.mark.usefixtures("tier")
@pytest.mark.parametrize("kappa_grad", ops.KAPPA_GRADIENTS)
def test_shells_drawn_apart_are_those_drawn_together(dtype, kappa_grad):
    """[a, b, c] at once is [a] and, from index 1 on, [b, c]: values and gradients, bit for bit.

    The dimensions are of one size class, so that a GPU too adds every sum in one order.
    """
    dims = [5, 2, 3, 11, 4]
    whole = draw_shells(0, 5, dtype, kappa_grad, dims, 7)
    for cut in range(1, 5):
        below = draw_shells(0, cut, dtype, kappa_grad, dims, 7)
        above = draw_shells(cut, 5, dtype, kappa_grad, dims, 7 + cut)
        for together, *apart in zip(whole, below, above, strict=True):
            assert torch.equal(together, torch.cat(apart, -1))


def test_another_first_shell_draws_other_numbers(dtype):
    """Neither an angle nor a tangent is shared, whatever the dimension; and 0 is the default."""
    for m in (2, 3, 4):
        raw = torch.ones(50, m, dtype=dtype)
        kappa = torch.ones(50, 1, dtype=dtype)
        rng = random.stream(5, "user")
        z, _, theta, _ = ops.sample(raw, kappa, [m], rng, 3)
        assert torch.equal(z, ops.sample(raw, kappa, [m], rng, 3, shell=0)[0])
        other_z, _, other_theta, _ = ops.sample(raw, kappa, [m], rng, 3, shell=1)
        # float32 angles do coincide; a tangent of the circle is one of two.
        assert (theta == other_theta).double().mean() < 0.01
        assert (z == other_z).double().mean() < 0.01


def test_the_last_shell_that_fits_the_counter(dtype):
    """Indices are of 16 bits: the last two that are allowed agree with the reference's."""
    raw, kappa = inputs(3, dtype)
    rng = random.stream(5, "user")
    x, y = (
        module.sample(raw[:, :5], kappa[:, :2], DIMS[:2], rng, 2, shell=65533)[0].double()
        for module in (ops, reference)
    )
    torch.testing.assert_close(x, y, rtol=0, atol=16 * torch.finfo(dtype).eps)


def test_vmap_of_a_draw(dtype):
    """The batch joins the rows: row r of element b is row b R + r of the stream."""
    raw, kappa = inputs(12, dtype)
    rng = random.stream(1, "user")

    def draw(h, k):
        return ops.sample(h, k, DIMS, rng, 2, "naive", 3)

    outputs = torch.vmap(draw, out_dims=(1, 1, 1, 0))(
        raw.unflatten(0, (3, 4)), kappa.unflatten(0, (3, 4))
    )
    for x, y in zip(outputs, draw(raw, kappa), strict=True):
        assert torch.equal(x.reshape(y.shape), y)


def test_vmap_over_streams(dtype):
    """With a stream each, every element of the batch is the draw of its own stream."""
    raw, kappa = inputs(12, dtype)
    raw, kappa = raw.unflatten(0, (3, 4)), kappa.unflatten(0, (3, 4))
    streams = torch.stack([random.stream(seed, "user") for seed in range(3)])

    def draw(h, k, rng):
        return ops.sample(h, k, DIMS, rng, 2, shell=3)

    outputs = torch.vmap(draw)(raw, kappa, streams)
    for i in range(3):
        for x, y in zip(outputs, draw(raw[i], kappa[i], streams[i]), strict=True):
            assert torch.equal(x[i], y)


def test_empty_inputs(dtype):
    raw, kappa = inputs(0, dtype, grad=True)
    z, v, theta, kl = ops.sample(raw, kappa, DIMS, random.stream(1, "user"), 3)
    assert z.shape == (3, 0, WIDTH) and v.shape == theta.shape == (3, 0, 4) and kl.shape == (0, 4)
    slopes = torch.autograd.grad(z.sum() + kl.sum(), (raw, kappa))
    assert [s.shape for s in slopes] == [raw.shape, kappa.shape]
    value, derivative = ops.vmf(torch.empty(2, 0, 4, dtype=dtype), DIMS, "L")
    assert value.shape == derivative.shape == (2, 0, 4)
    assert ops.normal(random.stream(1, "user"), 0, 3, 2, dtype=dtype).shape == (0, 3, 2)
    assert ops.uniform(random.stream(1, "user"), 2, 3, 0, dtype=dtype).shape == (2, 3, 0)
