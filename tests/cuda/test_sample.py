"""Draws of von Mises-Fisher shells on a GPU, and their gradients, against the CPU's.

z, of unit shells, differs by what rounds on the way: the angle (about 20 operations), two
projections and three sums of m terms by other orders, so 200 eps for m up to 4096; angles by 200
eps relative. A gradient is compared in units of what is summed: |gz| / |raw|, and |gz| dtheta/dk
with dtheta/dk about theta / (2 max(k, m)), in which the quadrature is good to 400 eps.
"""

import pytest
import thorough
import torch
from compare import apart, by_shell, eps, relative, same_places
from draws import CPU, RNG, Inputs, kept, worst

SHELLS = [
    *([2], [3], [4], [10, 10, 10, 11], [16], [17], [41], [64], [65], [128], [129]),
    *([2, 3, 4, 10, 11, 41, 200], [512], [2 + i % 2 for i in range(260)]),
]
SLOW_SHELLS = [[5], [10], [11], [15], [127], [4096], [2, 3, 4, 10, 11, 41, 512, 4096], [2] * 20]
NAMES = ("z", "v", "theta", "kl", "kl_slope")


def title(dims):
    return ",".join(map(str, dims)) if len(dims) < 9 else f"{len(dims)} shells"


ALL = pytest.mark.parametrize("dims", SHELLS + thorough.count([], SLOW_SHELLS), ids=title)


@ALL
@pytest.mark.parametrize("rows, samples", [(7, 3)])
def test_a_draw_is_that_of_the_cpu(backend, each_dtype, dims, rows, samples):
    for dtype in each_dtype:
        x = Inputs.of(dims, rows, dtype)
        arguments = (x.raw, x.kappa, dims, RNG, samples, 0, 0)
        found, expected = backend("sample", *arguments), CPU.sample(*arguments)
        z, v, theta, kl, slope = zip(found, expected, strict=True)
        assert not any(bool(part.isnan().any()) for part in found)
        same = kept(*z, dims)
        assert worst(by_shell(z[0] - z[1], dims), same) < 200
        assert worst((theta[0] - theta[1]).abs() / theta[1], same) < 200
        assert worst((v[0] - v[1]).abs() / v[1], same) < 400
        assert relative(*kl) <= 24 and relative(*slope) <= 52
        norms = by_shell(z[0].double(), dims)
        assert float((norms - 1).abs().max()) < 40 * eps(z[0])


@ALL
@pytest.mark.parametrize("gradient", [0, 1], ids=["implicit", "naive"])
def test_its_gradient_is_that_of_the_cpu(backend, each_dtype, dims, gradient):
    rows, samples = 7, 2
    for dtype in each_dtype:
        x = Inputs.of(dims, rows, dtype)
        gz, gkl = x.arriving(samples)
        _, _, theta, _, slope = CPU.sample(x.raw, x.kappa, dims, RNG, samples, 0, 0)
        arguments = (gz, gkl, x.raw, x.kappa, theta, slope, dims, RNG, gradient, 0)
        found, expected = backend("sample_backward", *arguments), CPU.sample_backward(*arguments)
        assert not any(bool(part.isnan().any()) for part in found)
        pushes = by_shell(gz, dims)
        off = by_shell(found[0] - expected[0], dims) * by_shell(x.raw, dims)
        assert worst(off / pushes.sum(0), torch.ones_like(off, dtype=torch.bool)) < 100
        most = torch.maximum(x.kappa, torch.tensor(dims, dtype=dtype))
        size = (pushes * theta / (2 * most)).sum(0) + (gkl * slope).abs()
        assert apart(found[1], expected[1], size) < (400 if gradient == 0 else 100)


def test_inputs_at_the_edge(backend, each_dtype):
    """Zero, NaN, infinite, tiny and huge raw directions; concentrations of 0, 1e8 and NaN."""
    dims, rows, samples = [2, 3, 4, 11, 70], 9, 2
    for dtype in each_dtype:
        x = Inputs.of(dims, rows, dtype)
        raw, kappa = x.raw.contiguous(), x.kappa.contiguous()
        single = dtype == torch.float32
        raw[0], raw[1], raw[2] = 0, torch.nan, torch.inf
        raw[3] *= 1e-42 if single else 1e-310
        raw[4] *= 1e30 if single else 1e300
        raw[5, 5] = torch.nan
        kappa[6], kappa[7], kappa[8] = 0, 1e8, torch.nan
        arguments = (raw, kappa, dims, RNG, samples, 0, 0)
        found, expected = backend("sample", *arguments), CPU.sample(*arguments)
        for a, b in zip(found, expected, strict=True):
            same_places(a, b)
        assert apart(found[0], expected[0]) < 300
        gz, gkl = x.arriving(samples)
        for gradient in (0, 1):
            rest = (gz, gkl, raw, kappa, expected[2], expected[4], dims, RNG, gradient, 0)
            for a, b in zip(
                backend("sample_backward", *rest), CPU.sample_backward(*rest), strict=True
            ):
                same_places(a, b)


def test_no_rows(backend):
    found = backend("sample", torch.empty(0, 5), torch.empty(0, 2), [2, 3], RNG, 2, 0, 0)
    assert [tuple(x.shape) for x in found] == [(2, 0, 5), (2, 0, 2), (2, 0, 2), (0, 2), (0, 2)]


@pytest.mark.parametrize("m", [2, 3, 10, 16, 17, 64, 100, 200])
def test_bits_of_a_shell_depend_on_nothing_beside_it(backend, each_dtype, m):
    """Not on the other shells of the call, nor on the number of rows or where a chunk begins."""
    dims, rows = [11, m, 3, 300, 30], 5
    for dtype in each_dtype:
        x = Inputs.of(dims, rows, dtype)
        part = slice(11, 11 + m)
        whole = backend("sample", x.raw, x.kappa, dims, RNG, 1, 0, 0)
        later = RNG + torch.tensor([0, 0, 2, 0])
        alone = (x.raw[2:, part], x.kappa[2:, 1:2], [m], later, 1, 0, 1)
        single = backend("sample", *alone)
        assert torch.equal(single[0], whole[0][:, 2:, part])
        for a, b in zip(single[1:3], whole[1:3], strict=True):
            assert torch.equal(a, b[:, 2:, 1:2])
        for a, b in zip(single[3:], whole[3:], strict=True):
            assert torch.equal(a, b[2:, 1:2])
        gz, gkl = x.arriving(1)
        both = backend(
            "sample_backward", gz, gkl, x.raw, x.kappa, whole[2], whole[4], dims, RNG, 0, 0
        )
        one = backend(
            "sample_backward",
            gz[:, 2:, part].contiguous(),
            gkl[2:, 1:2].contiguous(),
            *(x.raw[2:, part], x.kappa[2:, 1:2]),
            *(single[2], single[4], [m], later, 0, 1),
        )
        assert torch.equal(one[0], both[0][2:, part]) and torch.equal(one[1], both[1][2:, 1:2])
