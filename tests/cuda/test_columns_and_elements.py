"""Quantities of the concentration on a GPU, against the CPU's.

The bars are sums of two roundings: either side is within the accuracy that `hvae.ops.vmf` states
(7 eps in float64, 9 in float32, of KL; 14 and 26 of dA, dKL), so they differ by twice that at most.
"""

import pytest
import torch
from compare import apart, eps, relative, same_places

from hvae import ops

CPU = torch.ops.hvae
DIMS = [2, 3, 4, 5, 10, 11, 24, 41, 52, 512, 4096]
VALUES = {"dA": 52, "dKL": 52}  # eps; 24 of the others
CUTS = (25.0, 10.0, 1.0, 24.999999, 9.999999)  # of zones


def concentrations(rows, columns, dtype):
    generator = torch.Generator().manual_seed(0)
    k = 10 ** (torch.rand(rows, columns, generator=generator, dtype=torch.float64) * 16 - 8)
    k[: len(CUTS)] = torch.tensor(CUTS, dtype=torch.float64)[:, None]
    return k.to(dtype)


def scale_of(name, value, k, orders):
    """What an error is relative to: log I passes through 0."""
    if name in ops.quantities.VMF_QUANTITIES:
        return value.abs().clamp_min(torch.finfo(value.dtype).tiny)
    return torch.maximum(value.abs(), (k**2 + orders**2).sqrt())


@pytest.mark.parametrize("name", ops.QUANTITIES)
def test_columns_agree_with_the_cpu(backend, each_dtype, name):
    index, orders = ops.QUANTITIES.index(name), [m / 2 - 1 for m in DIMS]
    for dtype in each_dtype:
        k = concentrations(70, len(DIMS), dtype)
        found, expected = backend("columns", k, orders, index), CPU.columns(k, orders, index)
        scale = scale_of(name, expected[0], k, torch.tensor(orders, dtype=dtype))
        assert apart(found[0], expected[0], scale) <= VALUES.get(name, 24)
        # The derivative serves double backward; that of A' cancels (csrc/math/vmf.h).
        if name in ("L", "k_minus_L", "A", "one_minus_A", "KL"):
            assert relative(found[1], expected[1]) <= 52
        else:
            same_places(found[1], expected[1])


@pytest.mark.parametrize("name", ops.QUANTITIES)
def test_limits_are_those_of_the_cpu(backend, each_dtype, name):
    index, orders = ops.QUANTITIES.index(name), [m / 2 - 1 for m in DIMS]
    for dtype in each_dtype:
        ends = torch.tensor([0.0, torch.nan, torch.inf, -1.0, 1e-30, 1e30], dtype=dtype)
        k = ends[:, None].expand(-1, len(DIMS)).contiguous()
        for a, b in zip(
            backend("columns", k, orders, index), CPU.columns(k, orders, index), strict=True
        ):
            same_places(a, b)


@pytest.mark.parametrize("name", ops.QUANTITIES)
def test_elements_agree_with_the_cpu(backend, each_dtype, name):
    index = ops.QUANTITIES.index(name)
    for dtype in each_dtype:
        k = concentrations(20, len(DIMS), dtype)
        orders = torch.tensor([m / 2 - 1 for m in DIMS], dtype=dtype).expand_as(k).contiguous()
        found, expected = backend("elements", orders, k, index), CPU.elements(orders, k, index)
        scale = scale_of(name, expected[0], k, orders)
        assert apart(found[0], expected[0], scale) <= VALUES.get(name, 24)
        odd = torch.tensor([-1.0, torch.nan, torch.inf, 0.0, 1e5, 0.3], dtype=dtype)
        two = torch.full_like(odd, 2.5)
        same_places(backend("elements", odd, two, index)[0], CPU.elements(odd, two, index)[0])


def test_more_columns_and_orders_than_a_launch_takes(backend):
    """600 columns are more than 256, and their 50 orders more than 8."""
    k = concentrations(5, 600, torch.float32).clamp(1e-3, 30)
    orders = [(2 + i % 50) / 2 - 1 for i in range(600)]
    index = ops.QUANTITIES.index("KL")
    found, expected = backend("columns", k, orders, index), CPU.columns(k, orders, index)
    assert relative(found[0], expected[0]) <= 24
    same = [0.5] * 300
    found = backend("columns", k[:, :300].contiguous(), same, index)
    assert relative(found[0], CPU.columns(k[:, :300].contiguous(), same, index)[0]) <= 24


@pytest.mark.parametrize("rows", [127, 128, 129, 300])
def test_rows_of_several_warps_in_either_zone(backend, rows):
    """A warp takes 128 rows and puts those of one zone together."""
    orders, index = [0.0, 4.0, 19.5], ops.QUANTITIES.index("A")
    for low, high in ((1e-3, 1e-2), (1e2, 1e3), (1e-3, 1e3)):
        k = concentrations(rows, len(orders), torch.float32).clamp(low, high)
        found, expected = backend("columns", k, orders, index), CPU.columns(k, orders, index)
        assert relative(found[0], expected[0]) <= 24


# The bars of docs/numerics.md for float32: of a quantity and of its slope.
BARS = {"L": (5e-7, 5e-7), "k_minus_L": (5e-7, 5e-7), "A": (5e-7, 3e-6), "KL": (1e-6, 3e-6)}
ORDERS = [0.0, 0.25, 0.5, 1.5, 4.0, 4.5, 19.5, 255.0, 1e3, 1e5]


@pytest.mark.parametrize("name", BARS)
def test_float32_is_as_accurate_as_stated(backend, name):
    """Fitted orders and, of k - L below 1/2, an order that is not; k about the order too."""
    index = ops.QUANTITIES.index(name)
    k = concentrations(200, len(ORDERS), torch.float32)
    k[100:] = k[100:].log10().div(8).exp() * (torch.tensor(ORDERS, dtype=torch.float32) + 1)
    found, exact = backend("columns", k, ORDERS, index), CPU.columns(k.double(), ORDERS, index)
    for a, b, bar in zip(found, exact, BARS[name], strict=True):
        seen = b.abs() > 1e-36  # below, k^2 loses digits to subnormal numbers
        assert ((a - b).abs() / b.abs())[seen].max() <= bar


@pytest.mark.parametrize("name", BARS)
def test_concentrations_beyond_the_fits(backend, name):
    """From 2^60 on the leading terms; and among columns that have a fit, orders that have none."""
    index, orders = ops.QUANTITIES.index(name), [2e5, *ORDERS, 0.1]
    ends = torch.tensor([-0.0, 2.0**60, 1.5 * 2.0**60, 1e25, 3e38])
    k = ends[:, None].expand(-1, len(orders)).contiguous()
    found, cpu = backend("columns", k, orders, index), CPU.columns(k, orders, index)
    for a, b, c in zip(found, CPU.columns(k.double(), orders, index), cpu, strict=True):
        assert relative(a[:, 0], c[:, 0]) <= 24
        inside = a[:, 1:] if name != "k_minus_L" else a[:, 3:-1]
        exact = b[:, 1:] if name != "k_minus_L" else b[:, 3:-1]
        normal = exact >= torch.finfo(torch.float32).tiny
        assert relative(inside[normal], exact[normal].float()) <= 26
        assert (inside[~normal] <= torch.finfo(torch.float32).tiny).all()


def test_no_rows(backend):
    value, slope = backend("columns", torch.empty(0, 2), [1.0, 2.0], 0)
    assert value.shape == slope.shape == (0, 2)
    assert eps(value) == 2.0**-23
