"""hvae.ops.linear: the same layer whoever multiplies."""

import importlib

import pytest
import torch
from torch.nn import functional

from hvae import ops

module = importlib.import_module("hvae.ops.linear")  # the package has the function of that name

needs_onednn = pytest.mark.skipif(
    "onednn" not in ops.available_products(), reason="this torch has no oneDNN"
)
SHAPES = [(1, 1, 1), (7, 5, 3), (100, 784, 256), (100, 41, 128)]  # rows, inputs, outputs


@pytest.fixture
def always(monkeypatch):
    """oneDNN multiplies whatever the size."""
    monkeypatch.setattr(module, "_LEAST_OPERATIONS", 0)


def layer(rows, inputs, outputs, dtype=torch.float32):
    generator = torch.Generator().manual_seed(rows + inputs + outputs)
    shapes = ((rows, inputs), (outputs, inputs), (outputs,))
    return [torch.randn(s, generator=generator, dtype=dtype).requires_grad_() for s in shapes]


def calls(monkeypatch):
    """Shapes of what oneDNN multiplied, as they come."""
    seen, original = [], module._by_onednn

    def watched(a, b, bias):
        seen.append((*a.shape, len(b)))
        return original(a, b, bias)

    monkeypatch.setattr(module, "_by_onednn", watched)
    return seen


def test_by_torch_it_is_torchs_layer_to_the_bit():
    x, weight, bias = layer(7, 5, 3)
    assert torch.equal(ops.linear(x, weight, bias), functional.linear(x, weight, bias))
    assert torch.equal(ops.linear(x, weight, None, "torch"), functional.linear(x, weight))


@needs_onednn
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_value_and_gradients_are_those_of_float64_to_the_rounding_of_a_sum(
    always, monkeypatch, shape, bias
):
    """A sum of n products of float32 numbers errs by n eps times the sum of their sizes at most."""
    seen = calls(monkeypatch)
    given = layer(*shape)[: 2 + bias]
    exact = [t.detach().double().requires_grad_() for t in given]
    grad = torch.randn(shape[0], shape[2])
    b, wide = (given[2], exact[2]) if bias else (None, None)
    value = ops.linear(given[0], given[1], b, "onednn")
    truth = functional.linear(exact[0], exact[1], wide)
    found = torch.autograd.grad(value, given, grad)
    wanted = torch.autograd.grad(truth, exact, grad.double())
    rows, inputs, outputs = shape
    sizes = [t.detach().double().abs() for t in (*given, grad)]
    x, w, g = sizes[0], sizes[1], sizes[-1]
    scales = [x @ w.T + (sizes[2] if bias else 0), g @ w, g.T @ x, *([g.sum(0)] * bias)]
    terms = [inputs + 1, outputs, rows, rows]
    pairs = zip([value, *found], [truth, *wanted], scales, terms, strict=False)
    for ours, theirs, scale, n in pairs:
        bound = n * torch.finfo(torch.float32).eps * scale
        assert ((ours.detach().double() - theirs.detach()).abs() <= bound).all()
    assert seen == [shape, (rows, outputs, inputs), (outputs, rows, inputs)]


@needs_onednn
def test_the_error_is_that_of_float32(always):
    """Root mean square against float64, of the paper's largest layer.

    A sum of n terms in one run errs like a random walk, by sqrt(n / 3) roundings of its final size,
    which are uniform and so eps / sqrt(12) each; MKL sums in blocks, and errs half as much.
    """
    x, weight, bias = (t.detach() for t in layer(100, 784, 256))
    exact = functional.linear(x.double(), weight.double(), bias.double())
    errors = {
        name: (ops.linear(x, weight, bias, name).double() - exact).square().mean().sqrt().item()
        for name in ops.PRODUCTS
    }
    rounding = torch.finfo(torch.float32).eps * exact.square().mean().sqrt().item()
    for error in errors.values():
        assert 0 < error <= (784 / 3) ** 0.5 * rounding / 12**0.5


@needs_onednn
def test_second_derivatives_are_torchs(always):
    """The gradient of a gradient, of a function that is not linear in any of the three."""
    found = {}
    for name in ops.PRODUCTS:
        given = layer(6, 5, 4)
        value = ops.linear(*given, name).tanh().square().sum()
        first = torch.autograd.grad(value, given, create_graph=True)
        found[name] = torch.autograd.grad(sum(g.square().sum() for g in first), given)
    for ours, theirs in zip(found["onednn"], found["torch"], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@needs_onednn
def test_only_the_gradients_that_are_asked_for_are_computed(always, monkeypatch):
    """The first layer of a network has none in its input: a third of its products."""
    seen = calls(monkeypatch)
    x, weight, bias = layer(7, 5, 3)
    ops.linear(x.detach(), weight, bias, "onednn").sum().backward()
    assert len(seen) == 2 and x.grad is None and weight.grad is not None and bias.grad is not None


@needs_onednn
def test_strides_and_leading_dimensions_do_not_matter(always):
    x, weight, bias = (t.detach() for t in layer(12, 5, 3))
    expected = functional.linear(x, weight, bias)
    leading = ops.linear(x.reshape(3, 4, 5), weight, bias, "onednn")
    assert leading.shape == (3, 4, 3)
    strided = ops.linear(x.T.contiguous().T, weight.T.contiguous().T, bias, "onednn")
    for found in (leading.reshape(12, 3), strided):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


class TestLeftToTorch:
    """What oneDNN does not do, or gains nothing from."""

    @pytest.mark.parametrize(
        "tensors",
        [layer(100, 784, 256, torch.float64), layer(7, 5, 3), layer(0, 5, 3)],
        ids=["float64", "few operations", "no rows"],
    )
    def test_it_is_torchs_to_the_bit(self, monkeypatch, tensors):
        seen = calls(monkeypatch)
        assert torch.equal(ops.linear(*tensors, "onednn"), functional.linear(*tensors))
        assert seen == []

    def test_the_transforms_of_torch_func(self, always, monkeypatch):
        """Gradients by row of the weights, which are batched products."""
        seen = calls(monkeypatch)
        x, weight, bias = (t.detach() for t in layer(7, 5, 3))

        def of_row(weight, row):
            return ops.linear(row[None], weight, bias, "onednn").square().sum()

        by_row = torch.func.vmap(torch.func.grad(of_row), in_dims=(None, 0))(weight, x)
        for i in range(7):
            one = torch.func.grad(of_row)(weight, x[i])
            torch.testing.assert_close(by_row[i], one, rtol=1e-5, atol=1e-5)
        assert seen == []

    def test_a_compiler(self, always, monkeypatch):
        """In one graph, with gradients."""
        torch._dynamo.reset()
        compiled = torch.compile(ops.linear, fullgraph=True, backend="aot_eager")
        seen = calls(monkeypatch)
        given = layer(7, 5, 3)
        compiled(*given, "onednn").sum().backward()
        torch.testing.assert_close(given[1].grad, given[0].detach().sum(0).expand(3, 5))
        assert seen == []


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="products is 'mkl'; allowed: torch, onednn"):
        ops.linear(*layer(2, 2, 2), "mkl")
