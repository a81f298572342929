"""Random numbers and the Bernoulli log-likelihood on a GPU, against the CPU's."""

import pytest
import torch
from compare import apart, same_places

CPU = torch.ops.hvae


@pytest.mark.parametrize("normal", [False, True], ids=["uniform", "normal"])
def test_numbers_are_those_of_the_cpu(backend, each_dtype, normal):
    """Uniform ones bit for bit; normal ones to the roundings of a logarithm, a root, a sine: 8 eps
    of a number below 8."""
    rng = torch.tensor([12345, 3, 5, 2])
    for dtype in each_dtype:
        for samples, rows, each, shell in (
            (1, 1, 1, 0),
            (3, 7, 13, 0),
            (2, 5, 1, 3),
            (1, 2, 1025, 7),
        ):
            arguments = (rng, samples, rows, each, shell, normal, dtype)
            (found,), expected = backend("numbers", *arguments), CPU.numbers(*arguments)
            if normal:
                assert apart(found, expected) <= 8
            else:
                assert torch.equal(found, expected)


PIXELS = ((1, 1, 1), (31, 3, 2), (33, 5, 3), (64, 3, 1), (785, 3, 2), (4001, 1, 1))


@pytest.mark.parametrize("byte", [True, False], ids=["uint8", "real"])
@pytest.mark.parametrize("sizes", PIXELS, ids=str)
def test_bernoulli_agrees_with_the_cpu(backend, each_dtype, sizes, byte):
    """The sum to 16 eps of the sizes of its terms; its gradient, below 1, to 4 eps."""
    pixels, images, samples = sizes
    generator = torch.Generator().manual_seed(3)
    for dtype in each_dtype:
        logits = torch.randn(samples * images, pixels, generator=generator, dtype=torch.float64)
        logits = (10 * logits).to(dtype)
        logits[0, 0], logits[-1, -1] = 200, -200
        x = torch.rand(images, pixels, generator=generator, dtype=torch.float64)
        x = (x < 0.5).to(torch.uint8) if byte else x.to(dtype)
        grad = torch.randn(len(logits), generator=generator, dtype=torch.float64).to(dtype)
        (found,), expected = backend("bernoulli", logits, x), CPU.bernoulli(logits, x)
        size = (x.to(dtype).repeat(samples, 1) * logits).abs()
        size = (size + torch.nn.functional.softplus(logits)).sum(1).clamp_min(1e-30)
        assert apart(found, expected, size) <= 16
        (found,) = backend("bernoulli_backward", grad, logits, x)
        expected = CPU.bernoulli_backward(grad, logits, x)
        assert apart(found, expected, grad.abs()[:, None]) <= 4


def test_logits_that_are_not_finite(backend):
    logits = torch.tensor([[torch.inf, 1.0], [torch.nan, 1.0], [-torch.inf, 1.0]])
    x = torch.tensor([[1.0, 0.0]])
    same_places(backend("bernoulli", logits, x)[0], CPU.bernoulli(logits, x))
    arguments = (torch.ones(3), logits, x)
    same_places(backend("bernoulli_backward", *arguments)[0], CPU.bernoulli_backward(*arguments))
