"""hvae.ops.log_mixture: a log-sum-exp of a product, against torch's own two steps."""

import sys

import pytest
import torch

from hvae import ops

pytestmark = pytest.mark.usefixtures("device")


def parts(rows, features, components, dtype=torch.float64, scale=3.0):
    torch.manual_seed(4)
    shapes = ((rows, features), (features, components), (components,))
    return [(scale * torch.randn(shape, dtype=dtype)).requires_grad_() for shape in shapes]


def reference(features, weight, bias):
    return torch.logsumexp(features @ weight + bias, -1)


@pytest.mark.parametrize("block", [1, 10, 64, 1 << 19])
@pytest.mark.parametrize("shape", [(1, 1, 1), (17, 5, 9), (64, 41, 33)])
def test_value_and_gradients_whatever_the_blocks(monkeypatch, block, shape):
    """Sums of f products and of rows: 100 roundings of the largest term are ample."""
    monkeypatch.setattr(sys.modules["hvae.ops.log_mixture"], "_BLOCK", block)
    ours, theirs = parts(*shape), parts(*shape)
    value, expected = ops.log_mixture(*ours), reference(*theirs)
    cotangent = torch.randn_like(expected)
    value.backward(cotangent)
    expected.backward(cotangent)
    for found, wanted in [(value, expected), *((a.grad, b.grad) for a, b in zip(ours, theirs))]:  # noqa: B905
        assert (found - wanted).abs().max() <= 100 * 2.0**-52 * (1 + wanted.abs().max()) * shape[0]


def test_float32_is_off_by_roundings_of_the_largest_term():
    exact = parts(200, 41, 50, scale=10.0)
    single = [part.detach().float() for part in exact]
    size = (exact[0].abs() @ exact[1].abs() + exact[2].abs()).max()
    error = (ops.log_mixture(*single).double() - reference(*[s.double() for s in single])).abs()
    assert error.max() <= 41 * 2.0**-24 * size


def test_any_leading_shape():
    features, weight, bias = parts(24, 3, 4)
    flat = ops.log_mixture(features, weight, bias)
    assert torch.equal(ops.log_mixture(features.reshape(2, 3, 4, 3), weight, bias).flatten(), flat)
    assert ops.log_mixture(features[0], weight, bias).shape == ()
    assert ops.log_mixture(features[:0], weight, bias).shape == (0,)


def test_far_apart_terms_do_not_overflow():
    features = torch.tensor([[1.0], [-1.0]])
    value = ops.log_mixture(features, torch.tensor([[5e4, -5e4]]), torch.zeros(2))
    assert torch.equal(value, torch.tensor([5e4, 5e4]))


@pytest.mark.parametrize(
    "shapes",
    [((3, 4), (5, 2), (2,)), ((3, 4), (4,), (2,)), ((3, 4), (4, 2), (3,)), ((), (1, 1), (1,))],
)
def test_shapes_that_do_not_go_together(shapes):
    with pytest.raises(ValueError, match="allowed: "):
        ops.log_mixture(*(torch.zeros(shape) for shape in shapes))


def test_dtypes_that_differ():
    with pytest.raises(TypeError, match="allowed: one dtype"):
        ops.log_mixture(torch.zeros(2, 3), torch.zeros(3, 2).double(), torch.zeros(2))
