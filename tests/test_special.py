"""hvae.special: values against the table and mpmath, derivatives, limits, and what it takes."""

import doctest
import math

import exact
import mpmath
import numpy as np
import pytest
import thorough
import torch

from hvae import ops, special

FUNCTIONS = [special.log_iv, special.log_ive, special.iv_ratio, special.log_hyp0f1]
INF, NAN = math.inf, math.nan


pytestmark = pytest.mark.usefixtures("device")


@pytest.fixture(params=FUNCTIONS, ids=lambda function: function.__name__)
def function(request):
    return request.param


@pytest.fixture(scope="module")
def table():
    return exact.table("special")


def values(function, order, x, dtype):
    """function(order, x) with an order an element, and with one order a call."""
    orders, arguments = (torch.tensor(a.astype(np.float64), dtype=dtype) for a in (order, x))
    yield exact.array(function(orders, arguments))
    shared = torch.empty_like(arguments)
    for one in np.unique(order):
        rows = torch.tensor(order == one)
        shared[rows] = function(float(one), arguments[rows])
    yield exact.array(shared)


def rows_of(table, dtype, least):
    """Rows exact in dtype with kappa from `least` on, whose values are normal numbers."""
    kind = np.float64 if dtype == torch.float64 else np.float32
    kept = (table["kappa"].astype(kind) == table["kappa"]) & (table["kappa"] >= least)
    kept &= (table["nu"].astype(kind) == table["nu"]) & (table["L"] >= np.finfo(kind).tiny)
    return {name: column[kept] for name, column in table.items()}


@pytest.mark.parametrize("name", ["log_iv", "log_ive"])
def test_logarithms_against_the_table(table, dtype, name):
    """Absolute error 1e-15 (float32: 3e-7) of max(|log I|, sqrt(nu^2 + x^2))."""
    rows = rows_of(table, dtype, 0.0)
    log_iv = rows["log_ive"] + rows["kappa"]
    expected = log_iv if name == "log_iv" else rows["log_ive"]
    scale = np.maximum(np.abs(log_iv), np.hypot(rows["nu"], rows["kappa"]))
    for value in values(getattr(special, name), rows["nu"], rows["kappa"], dtype):
        error = np.abs(value - expected) / scale
        # A logarithm may be beyond float32 at the largest orders.
        inside = np.abs(expected) <= torch.finfo(dtype).max
        assert (value[~inside] == -INF).all()
        largest, where = exact.worst(np.where(inside, error, 0), **rows)
        assert largest <= (1e-15 if dtype == torch.float64 else 3e-7), where


def test_ratio_and_its_derivative_against_the_table(table, dtype):
    """A to 1.5e-15 (5e-7), A' to 3e-15 (3e-6); v = nu + 1 is exact where nu is a float32."""
    rows = rows_of(table, dtype, 0.0)
    bars = (1.5e-15, 3e-15) if dtype == torch.float64 else (5e-7, 3e-6)
    for value in values(special.iv_ratio, rows["nu"] + 1, rows["kappa"], dtype):
        largest, where = exact.worst(exact.relative_error(value, rows["A"]), **rows)
        assert largest <= bars[0], where
    x = torch.tensor(rows["kappa"].astype(np.float64), dtype=dtype, requires_grad=True)
    order = torch.tensor(rows["nu"].astype(np.float64) + 1, dtype=dtype)
    (slope,) = torch.autograd.grad(special.iv_ratio(order, x).sum(), x)
    largest, where = exact.worst(exact.relative_error(exact.array(slope), rows["dA"]), **rows)
    assert largest <= bars[1], where


def test_complement_of_the_ratio_against_the_table(table, dtype):
    rows = rows_of(table, dtype, 0.0)
    inside = rows["one_minus_A"] >= np.finfo(np.float32).tiny
    for value in values(special.one_minus_iv_ratio, rows["nu"] + 1, rows["kappa"], dtype):
        error = exact.relative_error(value, rows["one_minus_A"])
        largest, where = exact.worst(np.where(inside, error, 0), **rows)
        assert largest <= (1.5e-15 if dtype == torch.float64 else 5e-7), where


def test_complement_of_the_ratio_at_its_ends(dtype):
    x = torch.tensor([0.0, 2.0, INF], dtype=dtype)
    for order in (1.0, torch.ones_like(x)):
        assert special.one_minus_iv_ratio(order, x)[::2].tolist() == [1, 0]
        both = special.one_minus_iv_ratio(order, x) + special.iv_ratio(order, x)
        torch.testing.assert_close(both, torch.ones_like(x))
        assert special.one_minus_iv_ratio(order * INF, x)[:2].tolist() == [1, 1]
        assert special.one_minus_iv_ratio(order * 0.75, x).isnan().all()


def test_hypergeometric_against_the_table(table, dtype):
    """L at x = kappa^2/4: its bar, and 1.5 eps of the roundings of x and of its root."""
    rows = rows_of(table, dtype, 1e-140 if dtype == torch.float64 else 1e-17)
    # x = kappa^2 / 4 is a number of the dtype
    inside = rows["kappa"] < 2 * np.sqrt(np.longdouble(torch.finfo(dtype).max))
    rows = {name: column[inside] for name, column in rows.items()}
    bar = (1.5e-15 if dtype == torch.float64 else 5e-7) + 1.5 * torch.finfo(dtype).eps
    for value in values(special.log_hyp0f1, rows["nu"] + 1, rows["kappa"] ** 2 / 4, dtype):
        largest, where = exact.worst(exact.relative_error(value, rows["L"]), **rows)
        assert largest <= bar, where


def exact_below_one(order, x):
    """(I_v/I_{v-1}, its derivative, log 0F1(; b; x), its derivative) at v = b = order."""
    with mpmath.workdps(40 + 2 * max(0, -int(mpmath.log10(x)))):
        order, x = mpmath.mpf(order), mpmath.mpf(x)
        ratio = mpmath.besseli(order, x) / mpmath.besseli(order - 1, x)
        slope = 1 - (2 * order - 1) * ratio / x - ratio**2
        lower, upper = mpmath.hyp0f1(order, x), mpmath.hyp0f1(order + 1, x)
        return [float(y) for y in (ratio, slope, mpmath.log(lower), upper / (order * lower))]


@pytest.mark.parametrize("order", [0.01, 0.25, 0.5, 0.9])
def test_orders_below_one(order, device):
    """By recurrence, 3 eps more than the kernels; the derivative of the ratio in units of 1/x^2."""
    points = [1e-300, 1e-30, 1e-5, 0.3, 0.999, 1.0, 7.0, 60.0, 1e4]
    expected = torch.tensor([exact_below_one(order, x) for x in points], dtype=torch.float64)
    for number in (order, torch.tensor(order, dtype=torch.float64)):
        for column, function in ((0, special.iv_ratio), (2, special.log_hyp0f1)):
            x = torch.tensor(points, dtype=torch.float64, requires_grad=True)
            value = function(number, x)
            (slope,) = torch.autograd.grad(value.sum(), x)
            error = (value / expected[:, column] - 1).abs()
            assert error.max() <= 3e-15, (function, points[error.argmax()])
            true = expected[:, column + 1]
            unit = torch.maximum(true, 1 / x.detach() ** 2) if column == 0 else true
            unit = torch.where(x.detach() < 1, true, unit)
            assert ((slope - true).abs() / unit).max() <= 4e-15, function


@pytest.mark.parametrize("order", [0.0, 0.3, 0.5, 1.0, 2.5, 20.0])
def test_limits(order, dtype):
    """At 0 and infinity, of the values and of the first derivatives, with every kind of order."""
    at = {
        special.log_iv: ([-INF, INF], [INF, 1.0]),
        special.log_ive: ([-INF, -INF], [INF, 0.0]),
        special.iv_ratio: ([0.0, 1.0], [0.5 / order if order else 0.0, 0.0]),
        special.log_hyp0f1: ([0.0, INF], [1 / order if order else 0.0, 0.0]),
    }
    if order == 0:
        at[special.log_iv] = ([0.0, INF], [0.0, 1.0])
        at[special.log_ive] = ([0.0, -INF], [-1.0, 0.0])
        at[special.iv_ratio] = ([INF, 1.0], [-INF, 0.0])
        del at[special.log_hyp0f1]
    for function, (value, slope) in at.items():
        for number in (order, torch.tensor(order, dtype=dtype)):
            x = torch.tensor([0.0, INF], dtype=dtype, requires_grad=True)
            y = function(number, x)
            (gradient,) = torch.autograd.grad(y.sum(), x)
            assert y.tolist() == value, function
            torch.testing.assert_close(gradient, torch.tensor(slope, dtype=dtype))


def test_second_derivative_at_zero():
    """d2/dx2: log I_0 1/2, I_v/I_{v-1} 0, log 0F1(; b; .) -1/(b^2 (b + 1))."""
    b = 2.5
    expected = {
        special.log_iv: (0.0, 0.5),
        special.iv_ratio: (b, 0.0),
        special.log_hyp0f1: (b, -1 / (b * b * (b + 1))),
    }
    for function, (order, second) in expected.items():
        for number in (order, torch.tensor(order, dtype=torch.float64)):
            x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
            (slope,) = torch.autograd.grad(function(number, x), x, create_graph=True)
            (curvature,) = torch.autograd.grad(slope, x)
            assert curvature.item() == pytest.approx(second, abs=1e-15), function


def test_at_an_infinite_order(dtype):
    """The limits, with derivative 0 where the function is 0; NaN where x leaves no limit."""
    x = torch.tensor([0.0, 2.0, INF, -1.0, NAN], dtype=dtype, requires_grad=True)
    for function in FUNCTIONS:
        limit = -INF if function in (special.log_iv, special.log_ive) else 0.0
        for order in (INF, torch.full_like(x, INF)):
            value = function(order, x)
            assert value[:2].tolist() == [limit] * 2 and value[2:].isnan().all()
    mixed = torch.tensor([INF, 2.5], dtype=dtype)
    y = torch.ones(2, dtype=dtype, requires_grad=True)
    for function in (special.iv_ratio, special.log_hyp0f1):
        (slope,) = torch.autograd.grad(function(mixed, y).sum(), y)
        assert slope[0] == 0 and slope[1] > 0


@pytest.mark.parametrize("b, x", [(5e-324, 1.0), (1e-310, 1e-4), (1e20, 1.0), (7.3e6, 0.3)])
def test_hypergeometric_at_the_ends_of_its_domain(b, x):
    with mpmath.workdps(60):
        expected = float(mpmath.log(mpmath.hyp0f1(mpmath.mpf(b), mpmath.mpf(x))))
    for order in (b, torch.tensor(b, dtype=torch.float64)):
        value = special.log_hyp0f1(order, torch.tensor(x, dtype=torch.float64)).item()
        assert value == pytest.approx(expected, rel=2e-15)
    for single in (1e-40, 1e-44):
        value = special.log_hyp0f1(single, torch.ones(1)).item()
        exactly = math.log(float(np.float32(single)))
        # log(x 0F1(; 2; x) / b) at x = 1, 0F1(; 2; 1) = I_1(2)
        assert value == pytest.approx(math.log(1.5906368546373291) - exactly, rel=7e-7)


def test_outside_the_domain(function, dtype):
    one = torch.ones(1, dtype=dtype)
    for order, x in ((-0.5, 1.0), (NAN, 1.0), (1.0, -1.0), (1.0, NAN)):
        assert function(order, x * one).isnan().all()
        assert function(order * one, x * one).isnan().all()
        assert np.isnan(function(order, np.float64(x)))
    assert special.log_hyp0f1(0.0, one).isnan().all()
    assert special.log_hyp0f1(0 * one, one).isnan().all()


@pytest.mark.parametrize("order", [0.25, 0.5, 1.0, 2.5, 20.0])
def test_gradcheck(function, order):
    """First and second derivatives, on both sides of the cutoff, of strided arguments."""
    x = torch.tensor([[0.3, 0.9, 1.1], [4.0, 24.0, 60.0]], dtype=torch.float64).T
    assert not x.is_contiguous()
    x.requires_grad_()
    orders = torch.tensor([[order], [order + 0.25], [0.7]], dtype=torch.float64)
    for number in (order, orders):
        assert torch.autograd.gradcheck(lambda x, v=number: function(v, x), x)
        assert torch.autograd.gradgradcheck(lambda x, v=number: function(v, x), x)


def test_no_derivative_in_the_order(function):
    order = torch.tensor([0.7, 1.5], requires_grad=True)
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="in its order is not offered"):
        function(order, x).sum().backward()
    torch.autograd.grad(function(order.detach(), x).sum(), x)


def test_vmap(function):
    """Over either argument, both, or neither order; and over gradients."""
    x = torch.rand(3, 4, dtype=torch.float64) * 9
    v = torch.rand(3, 4, dtype=torch.float64) * 3 + 0.1
    expected = function(v, x)
    for axis in range(2):
        batched = torch.vmap(function, in_dims=axis, out_dims=axis)(v, x)
        torch.testing.assert_close(batched, expected, rtol=1e-14, atol=0)
    shared = torch.vmap(function, in_dims=(None, 0))(v[0], x)
    torch.testing.assert_close(shared, function(v[0], x), rtol=1e-14, atol=0)
    one = torch.vmap(lambda x: function(2.5, x))(x)
    torch.testing.assert_close(one, function(2.5, x), rtol=1e-14, atol=0)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: function(2.5, x), x, check_batched_grad=True)
    assert torch.autograd.gradcheck(lambda x: function(v, x), x, check_batched_grad=True)


@pytest.mark.parametrize("quantity", ["log_iv", "log_ive", "L", "A", "one_minus_A"])
def test_opcheck(quantity, dtype):
    """The op with an order an element: schema, autograd, fake tensors, dynamic shapes; the op with
    one order a column, and this one with other shapes, are in tests/ops/test_op_schemas.py.
    """
    for shape in thorough.count([(3, 2)], [(7,), (3, 2), (0,)]):
        order = torch.rand(shape, dtype=dtype) * 9
        for x in (torch.rand(shape, dtype=dtype) * 30, torch.rand(*shape, 2, dtype=dtype)[..., 0]):
            arguments = (order, x.detach().requires_grad_(), ops.QUANTITIES.index(quantity))
            torch.library.opcheck(torch.ops.hvae.elements.default, arguments)


@pytest.mark.parametrize("order", [0.25, torch.tensor([0.25, 2.5], dtype=torch.float64)])
def test_compile_fullgraph(function, order, device):
    """Values and gradients in one graph, for changing shapes."""
    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager", dynamic=True)
    order = order.to(device) if isinstance(order, torch.Tensor) else order
    for rows in (3, 7):
        x = (torch.rand(rows, 2, dtype=torch.float64) * 30).requires_grad_()
        results = [f(order, x) for f in (function, compiled)]
        torch.testing.assert_close(*results)
        torch.testing.assert_close(*[torch.autograd.grad(y.sum(), x)[0] for y in results])


def test_reduced_precision_is_computed_in_float32(function):
    for reduced in (torch.float16, torch.bfloat16):
        x = torch.tensor([0.5, 3.0, 40.0], dtype=reduced, requires_grad=True)
        order = torch.tensor(1.5, dtype=reduced)
        for number in (1.5, order):
            value = function(number, x)
            assert value.dtype == reduced
            assert torch.equal(value, function(1.5, x.float()).to(reduced))
        (slope,) = torch.autograd.grad(value.sum(), x)
        assert slope.dtype == reduced and slope.isfinite().all()


def test_shapes_and_promotion(function):
    single, double = torch.rand(2, 1) + 1, torch.rand(3, dtype=torch.float64)
    assert function(single, double).shape == (2, 3)
    assert function(single, double).dtype == torch.float64
    assert function(torch.tensor(1.5, dtype=torch.float64), single).dtype == torch.float32
    assert function(single, 2.0).dtype == torch.float32
    assert function(2, torch.tensor(2.0)).shape == ()
    for order in (2.0, single[:1], torch.rand(1, 3)):
        assert function(order, torch.empty(0, 3)).shape == (0, 3)
    strided = torch.rand(6, 8)[::2, 1::3]
    for order in (2.0, strided + 1):
        assert torch.equal(function(order, strided), function(order, strided.contiguous()))


def test_numpy(function):
    x = np.linspace(0.5, 9, 6)
    expected = exact.array(function(1.5, torch.tensor(x)))
    value = function(1.5, x)
    assert isinstance(value, np.ndarray) and np.array_equal(value, expected)
    assert np.array_equal(function(1.5, x[::-1]), expected[::-1])
    assert np.array_equal(function(1.5, x.tolist()), expected)
    free = function(np.full((2, 1), 1.5), np.broadcast_to(x, (3, 2, 6)))
    assert free.shape == (3, 2, 6)
    np.testing.assert_allclose(free, np.broadcast_to(expected, (3, 2, 6)), rtol=1e-14)
    scalar = function(1.5, 0.5)
    assert isinstance(scalar, np.float64) and scalar == expected[0]
    assert function(2, np.arange(1, 4)).dtype == np.float64
    assert function(np.float32(2), np.float32(3)).dtype == np.float32
    half = function(1.5, np.array([0.5, 3], np.float16))
    assert half.dtype == np.float16
    assert function(np.ones(3), np.empty((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    "order, x, error, words",
    [
        (torch.tensor(2), torch.rand(2), TypeError, "has dtype torch.int64; allowed"),
        (2.0, torch.arange(2), TypeError, "x has dtype torch.int64; allowed"),
        (2.0, torch.rand(2) > 0.5, TypeError, "x has dtype torch.bool"),
        (1j, torch.rand(2), TypeError, "is a complex; allowed"),
        (True, torch.rand(2), TypeError, "is a bool; allowed"),
        (np.ones(2), torch.rand(2), TypeError, "is a ndarray; allowed beside a tensor"),
        (2.0, np.array([1j]), TypeError, "x is a ndarray of dtype complex128; allowed"),
        (2.0, "1", TypeError, "x is a str"),
        (2.0, np.longdouble(1), TypeError, "x is a longdouble"),
        (torch.rand(3), torch.rand(2), ValueError, r"has shape \(3,\) and x \(2,\); allowed"),
        (np.ones(3), np.ones(2), ValueError, r"has shape \(3,\) and x \(2,\); allowed"),
        (torch.rand(2), torch.rand(2, device="meta"), ValueError, "x on meta; allowed: one device"),
    ],
)
def test_refusals(function, order, x, error, words):
    """One line that names the argument, what it is and what is allowed."""
    with pytest.raises(error, match=words):
        function(order, x)


def test_examples():
    """Of the docstrings."""
    with torch.device("cpu"):
        assert doctest.testmod(special).failed == 0
