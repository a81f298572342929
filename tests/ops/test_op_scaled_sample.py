"""`ops.scaled_sample`: against the reference, in high precision, and against exact expectations.

Statistical tests have a fixed seed and a stated false-alarm rate: by chance they fail once in so
many changes of the random numbers, never in a second run of the same code.
"""

import math

import mpmath
import numpy as np
import pytest
import scaled
import torch
from op_inputs import DIMS, WIDTH, inputs

from hvae import ops, random, reference
from hvae.reference.sample import _mean_direction, _tangents

pytestmark = pytest.mark.usefixtures("device")

C = torch.ops.hvae
FRAMES = ops.SCALE_FRAMES
frames = pytest.mark.parametrize("frame", FRAMES)


def scaled_inputs(rows, dtype, grad=False, spread=2.0):
    raw, kappa = inputs(rows, dtype, grad)
    b = torch.tensor(np.random.default_rng(rows + 7).normal(0, spread, (rows, WIDTH)), dtype=dtype)
    return raw, kappa, b.requires_grad_(grad)


def wide_inputs(rows, dims, dtype, seed=1):
    """kappa log-uniform on 1e-6 to 1e8, s on 1e-6 to 1e6."""
    numbers = np.random.default_rng(seed)
    raw = numbers.normal(size=(rows, sum(dims)))
    kappa = 10 ** numbers.uniform(-6, 8, (rows, len(dims)))
    b = 2 * math.log(10) * numbers.uniform(-6, 6, (rows, sum(dims)))
    return tuple(torch.tensor(x, dtype=dtype) for x in (raw, kappa, b))


@pytest.mark.usefixtures("tier")
@frames
@pytest.mark.parametrize("centred", [True, False])
def test_draws_agree_with_the_reference(dtype, frame, centred):
    """With scales that differ by up to e^6: 64 eps (s_max / s_min) of the frame's own rounding."""
    raw, kappa, b = scaled_inputs(200, dtype)
    rng = random.stream(11, "user", step=3, row=7, sample=2)
    one, other = (
        module.scaled_sample(raw, kappa, b, DIMS, rng, 3, frame, centred=centred)
        for module in (ops, reference)
    )
    eps = torch.finfo(dtype).eps
    for name, x, y in zip(("z", "v", "stretch", "volume", "kl"), one, other, strict=True):
        assert x.dtype == dtype and x.shape == y.shape
        scale = torch.tensor(DIMS, dtype=dtype) if name in ("stretch", "kl") else 1
        error = ((x - y).abs() / scale / (1 + y.abs())).double()
        assert error.max() <= 512 * eps, name
        assert error.mean() <= 8 * eps, name


@pytest.mark.usefixtures("tier")
@frames
@pytest.mark.parametrize("kappa_grad", ops.KAPPA_GRADIENTS)
@pytest.mark.parametrize("centred", [True, False])
def test_gradients_agree_with_the_reference(dtype, frame, kappa_grad, centred):
    """In units of what arrives; the reference differentiates A x / |A x| by torch."""
    rng = random.stream(11, "user", step=3, row=5, sample=2)
    gz = reference.normal(random.stream(2, "user"), 3, 100, WIDTH, dtype=dtype)
    gkl = reference.normal(random.stream(3, "user"), 1, 100, len(DIMS), dtype=dtype)[0]

    def gradients(module):
        given = scaled_inputs(100, dtype, grad=True)
        z, *_, kl = module.scaled_sample(*given, DIMS, rng, 3, frame, kappa_grad, centred=centred)
        return [g.double() for g in torch.autograd.grad((z, kl), given, (gz, gkl))]

    eps = torch.finfo(dtype).eps
    for name, x, y in zip(("mu", "kappa", "b"), gradients(ops), gradients(reference), strict=True):
        error = (x - y).abs() / (1 + y.abs())
        assert error.max() <= 4096 * eps, name
        assert error.mean() <= 32 * eps, name


def exact_logs(raw, b, theta, tangent, frame):
    """m log |A x| and log |A| in 40 digits, of one shell of one row: t is made a tangent.

    With what roundings may do to log |A x|, in eps: that of theta where it is near pi, and in the
    fixed frame that of x = cos(theta) mu + sin(theta) t.
    """
    with mpmath.workdps(40):
        raw, b, t = ([mpmath.mpf(float(x)) for x in row] for row in (raw, b, tangent))
        theta = mpmath.mpf(float(theta))
        m = len(raw)
        norm = mpmath.sqrt(mpmath.fsum(x * x for x in raw))
        mu = [x / norm for x in raw]
        along = mpmath.fdot(mu, t)
        t = [x - along * y for x, y in zip(t, mu, strict=True)]
        norm = mpmath.sqrt(mpmath.fsum(x * x for x in t))
        t = [x / norm for x in t]
        center = mpmath.fsum(b) / m
        s = [mpmath.exp((x - center) / 2) for x in b]
        cosine, sine = mpmath.cos(theta), mpmath.sin(theta)
        condition = mpmath.pi / sine if cosine < 0 else mpmath.mpf(1)
        if frame == "fixed":
            parts = [(cosine * x, sine * y) for x, y in zip(mu, t, strict=True)]
            square = mpmath.fsum((c * (x + y)) ** 2 for c, (x, y) in zip(s, parts, strict=True))
            moved = mpmath.fsum(
                c * c * abs(x + y) * (abs(x) + abs(y)) for c, (x, y) in zip(s, parts, strict=True)
            )
            condition, volume = condition + moved / square, mpmath.mpf(0)
        else:
            u = [x * y for x, y in zip(s, t, strict=True)]
            along = mpmath.fdot(mu, u)
            u = [x - along * y for x, y in zip(u, mu, strict=True)]
            square = cosine**2 + sine**2 * mpmath.fsum(x * x for x in u)
            volume = mpmath.log(mpmath.fsum(x * x / y for x, y in zip(mu, s, strict=True)))
        return float(m * mpmath.log(square) / 2), float(volume), float(condition)


@frames
def test_logarithms_in_high_precision(dtype, frame):
    """Over kappa from 1e-6 to 1e8 and s from 1e-6 to 1e6, at the kernel's own theta.

    The error is within 8 eps (m c + m |log |A x||), c the condition in the rounding of theta and x,
    and 8 eps (m + |log |A||).
    """
    dims = [2, 3, 4, 11, 41]
    rows, samples = 40, 2
    raw, kappa, b = wide_inputs(rows, dims, dtype)
    rng = random.stream(4, "user")
    choices = (samples, FRAMES.index(frame), True, 0, 0)
    draw = C.scaled_sample(raw, kappa, b, dims, rng, *choices)
    assert all(x.isfinite().all() for x in draw)
    _, _, theta, stretches, volumes, _, _ = draw
    eps = torch.finfo(dtype).eps
    worst = [0.0, 0.0]
    starts = np.cumsum([0, *dims])
    for shell, m in enumerate(dims):
        columns = slice(starts[shell], starts[shell + 1])
        mu = _mean_direction(raw[:, columns].double())
        tangents = _tangents(mu, rng, samples, shell, dtype)
        for sample in range(samples):
            for row in range(rows):
                stretch, volume, condition = exact_logs(
                    raw[row, columns],
                    b[row, columns],
                    theta[sample, row, shell],
                    tangents[sample, row],
                    frame,
                )
                error = abs(stretches[sample, row, shell].item() - stretch)
                worst[0] = max(worst[0], error / (m * condition + abs(stretch)))
                error = abs(volumes[row, shell].item() - volume)
                worst[1] = max(worst[1], error / (m + abs(volume)))
    assert max(worst) <= 8 * eps, [w / eps for w in worst]


@frames
def test_scales_of_1_are_a_plain_draw(dtype, frame):
    raw, kappa = inputs(50, dtype)
    rng = random.stream(4, "user")
    z, v, _, kl = ops.sample(raw, kappa, DIMS, rng, 2)
    for b in (torch.zeros_like(raw), torch.full_like(raw, 3.0)):
        draw = ops.scaled_sample(raw, kappa, b, DIMS, rng, 2, frame)
        eps = torch.finfo(dtype).eps
        torch.testing.assert_close(draw.z, z, rtol=0, atol=8 * eps)
        assert torch.equal(draw.v, v)
        assert draw.stretch.abs().max() <= 16 * 41 * eps and draw.volume.abs().max() <= 16 * eps
        torch.testing.assert_close(draw.kl, kl, rtol=4 * eps, atol=16 * 41 * eps)


@frames
def test_draws_have_unit_length(dtype, frame):
    """4 ulp, summed in float64, over the whole domain."""
    dims = [2, 3, 11, 41, 512]
    draw = ops.scaled_sample(
        *wide_inputs(100, dims, dtype), dims, random.stream(3, "user"), 2, frame
    )
    for part in draw.z.split(dims, -1):
        length = part.double().square().sum(-1).sqrt()
        assert (length - 1).abs().max() <= 4 * torch.finfo(dtype).eps


@frames
@pytest.mark.parametrize("size", [50.0, 1e4, 1e30, 0.9 * torch.finfo(torch.float32).max])
def test_everything_is_finite_for_finite_scales(dtype, frame, size):
    """Whatever the raw scales, with a mean direction along an axis too, gradients included."""
    raw, kappa, b = scaled_inputs(30, dtype)
    raw[::3] = 0
    raw[1::3, 0], raw[1::3, 2] = 1, -1
    b = torch.where(b > 0, size, -size) * torch.rand_like(b).clamp(0.1)
    kappa[:10] = 1e8
    given = [x.requires_grad_() for x in (raw, kappa, b)]
    draw = ops.scaled_sample(*given, DIMS, random.stream(3, "user"), 2, frame)
    assert all(x.isfinite().all() for x in draw)
    gradients = torch.autograd.grad(draw.z.sum() + draw.kl.sum(), given)
    assert all(x.isfinite().all() for x in gradients)


@frames
def test_a_nan_stays_in_its_place(dtype, frame):
    raw, kappa, b = scaled_inputs(20, dtype)
    clean = ops.scaled_sample(raw, kappa, b, DIMS, random.stream(5, "user"), 2, frame)
    b[7, 3] = math.nan
    draw = ops.scaled_sample(raw, kappa, b, DIMS, random.stream(5, "user"), 2, frame)
    assert draw.z[:, 7, 2:5].isnan().all() and draw.kl[7, 1].isnan()
    draw.z[:, 7, 2:5], draw.kl[7, 1] = clean.z[:, 7, 2:5], clean.kl[7, 1]
    assert torch.equal(draw.z, clean.z) and torch.equal(draw.kl, clean.kl)


def draw_shells(first, last, dtype, frame, dims):
    """Values and gradients of shells first .. last - 1 of `dims`, from index 7 + first on."""
    numbers = np.random.default_rng(2)
    raw, b, arriving = (
        torch.tensor(numbers.normal(size=shape), dtype=dtype)
        for shape in ((20, sum(dims)), (20, sum(dims)), (3, 20, sum(dims)))
    )
    kappa = torch.tensor(10 ** numbers.uniform(-2, 3, (20, len(dims))), dtype=dtype)
    columns = slice(sum(dims[:first]), sum(dims[:last]))
    given = raw[:, columns].clone(), kappa[:, first:last].clone(), b[:, columns].clone()
    for x in given:
        x.requires_grad_()
    rng = random.stream(1, "user", step=2, row=3, sample=1)
    draw = ops.scaled_sample(*given, dims[first:last], rng, 3, frame, shell=7 + first)
    loss = (draw.z * arriving[..., columns]).sum() + draw.kl.sum()
    return *draw, *torch.autograd.grad(loss, given)


@pytest.mark.usefixtures("tier")
@frames
def test_shells_drawn_apart_are_those_drawn_together(dtype, frame):
    """Values and gradients, bit for bit."""
    dims = [5, 2, 3, 11, 4]
    whole = draw_shells(0, 5, dtype, frame, dims)
    for cut in (1, 3):
        below, above = (draw_shells(*part, dtype, frame, dims) for part in ((0, cut), (cut, 5)))
        for together, *apart in zip(whole, below, above, strict=True):
            assert torch.equal(together, torch.cat(apart, -1))


@frames
def test_a_draw_depends_on_its_place_only(dtype, frame):
    """Rows and samples drawn apart are those drawn together, bit for bit."""
    given = scaled_inputs(70, dtype)
    whole = ops.scaled_sample(*given, DIMS, random.stream(5, "user", step=2), 5, frame)
    rng = random.stream(5, "user", step=2, row=13, sample=2)
    part = ops.scaled_sample(*(x[13:50] for x in given), DIMS, rng, 2, frame)
    for x, y in zip(whole[:3], part[:3], strict=True):
        assert torch.equal(x[2:4, 13:50], y)
    assert torch.equal(whole.volume[13:50], part.volume)


@frames
def test_threads_change_no_bit(dtype, frame):
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            given = scaled_inputs(500, dtype, grad=True)
            draw = ops.scaled_sample(*given, DIMS, random.stream(8, "user"), 3, frame)
            results.append(
                (*draw, *torch.autograd.grad(draw.z[..., 0].sum() + draw.kl.sum(), given))
            )
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)


@frames
@pytest.mark.parametrize("m", [2, 3])
@pytest.mark.parametrize("k", [0.5, 5.0, 80.0])
def test_gradients_have_the_exact_mean(m, k, frame):
    """E exp(a.y) and KL, and their derivatives, by quadrature: within four standard errors each.

    2 values and 2 (1 + 2 m) derivatives a case, 158 in all: a change of the random numbers fails by
    chance in 1 %.
    """
    rows = 30_000
    numbers = np.random.default_rng(m)
    mu, a, log_s = (torch.tensor(x) for x in numbers.normal(size=(3, m)))
    given = [mu, torch.tensor(k, dtype=torch.float64), log_s * 0.7]
    given = [x.cpu().requires_grad_() for x in given]
    exactly = scaled.Quadrature(given[0], given[1], given[2].exp(), frame)
    expected = []
    for value in (exactly.mean(torch.exp(exactly.y @ a.cpu())), exactly.divergence()):
        slopes = torch.autograd.grad(value, given, retain_graph=True)
        expected.append([value.detach(), *slopes])
    here = torch.get_default_device()
    drawn = [
        x.detach().to(here).reshape(1, -1).expand(rows, -1).clone().requires_grad_() for x in given
    ]
    rng = random.stream(int(8 * k) + m, "user")
    draw = ops.scaled_sample(drawn[0], drawn[1], 2 * drawn[2], [m], rng, 1, frame, centred=False)
    values = torch.exp(draw.z[0] @ a), draw.kl[:, 0]
    for value, exact_values in zip(values, expected, strict=True):
        slopes = torch.autograd.grad(value.sum(), drawn, retain_graph=True)
        for each, exact_value in zip((value.detach(), *slopes), exact_values, strict=True):
            seen = each.reshape(rows, -1).cpu()
            off = (seen.mean(0) - exact_value).abs()
            assert (off <= 4 * seen.std(0) / math.sqrt(rows) + 1e-12).all()


def test_what_carries_gradients():
    given = scaled_inputs(3, torch.float64, grad=True)
    draw = ops.scaled_sample(*given, DIMS, random.stream(1, "user"))
    assert [x.requires_grad for x in draw] == [True, False, False, False, True]
    slopes = torch.autograd.grad(draw.z.square().sum(), given, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(slopes[0].sum(), given[0])
    for i in range(3):
        only = [x if j == i else x.detach() for j, x in enumerate(given)]
        ops.scaled_sample(*only, DIMS, random.stream(1, "user")).kl.sum().backward()
        assert given[i].grad is not None


def test_vmap_of_a_draw(dtype):
    """The batch joins the rows, or has a stream for each element."""
    given = scaled_inputs(12, dtype)
    parts = [x.unflatten(0, (3, 4)) for x in given]
    rng = random.stream(1, "user")

    def draw(raw, kappa, b, rng=rng):
        return tuple(ops.scaled_sample(raw, kappa, b, DIMS, rng, 2, "fixed", "naive", 3))

    outputs = torch.vmap(draw, out_dims=(1, 1, 1, 0, 0))(*parts)
    for x, y in zip(outputs, draw(*given), strict=True):
        assert torch.equal(x.reshape(y.shape), y)
    streams = torch.stack([random.stream(seed, "user") for seed in range(3)])
    outputs = torch.vmap(draw)(*parts, streams)
    for i in range(3):
        expected = draw(*(x[i] for x in parts), streams[i])
        for x, y in zip(outputs, expected, strict=True):
            assert torch.equal(x[i], y)
    wanted = scaled_inputs(12, dtype, grad=True)
    z = ops.scaled_sample(*wanted, DIMS, rng).z
    (slopes,) = torch.vmap(lambda g: torch.autograd.grad(z, wanted[0], g, retain_graph=True))(
        torch.stack((z.sin(), -z.sin())).detach()
    )
    expected = torch.autograd.grad(z, wanted[0], z.sin().detach())[0]
    assert torch.equal(slopes, torch.stack((expected, -expected)))


def test_compile_fullgraph():
    torch._dynamo.reset()

    def step(raw, kappa, b, rng):
        draw = ops.scaled_sample(raw, kappa, b, DIMS, rng, 2, "mean")
        return (draw.z.square() @ torch.arange(WIDTH, dtype=raw.dtype)).sum() + draw.kl.sum()

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager", dynamic=True)
    for rows in (5, 9):
        results = []
        for function in (step, compiled):
            given = scaled_inputs(rows, torch.float32, grad=True)
            loss = function(*given, random.stream(1, "user"))
            results.append((loss, *torch.autograd.grad(loss, given)))
        for eager, graph in zip(*results, strict=True):
            torch.testing.assert_close(graph, eager)


def test_empty_inputs_and_slices(dtype):
    given = scaled_inputs(0, dtype, grad=True)
    draw = ops.scaled_sample(*given, DIMS, random.stream(1, "user"), 3)
    assert draw.z.shape == (3, 0, WIDTH) and draw.kl.shape == (0, 4)
    slopes = torch.autograd.grad(draw.z.sum() + draw.kl.sum(), given)
    assert [s.shape for s in slopes] == [x.shape for x in given]
    raw, kappa, b = scaled_inputs(9, dtype)
    wide = torch.cat([raw, kappa, b], -1)
    parts = wide.split([WIDTH, len(DIMS), WIDTH], -1)
    rng = random.stream(1, "user")
    for x, y in zip(
        ops.scaled_sample(*parts, DIMS, rng, 2),
        ops.scaled_sample(raw, kappa, b, DIMS, rng, 2),
        strict=True,
    ):
        assert torch.equal(x, y)


RNG = random.stream(1, "user")
RAW, KAPPA = torch.ones(3, 5), torch.ones(3, 2)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: ops.scaled_sample(RAW, KAPPA, RAW[:, :4], [2, 3], RNG), "raw_scales has shape"),
        (lambda: ops.scaled_sample(RAW, KAPPA[:2], RAW, [2, 3], RNG), "kappa has shape"),
        (lambda: ops.scaled_sample(RAW, KAPPA, RAW, [2, 2], RNG), "raw_directions has shape"),
        (lambda: ops.scaled_sample(RAW, KAPPA, RAW.double(), [2, 3], RNG), "dtype"),
        (lambda: ops.scaled_sample(RAW, KAPPA, RAW.long(), [2, 3], RNG), "torch.int64; allowed"),
        (lambda: ops.scaled_sample(RAW, KAPPA, RAW, [2, 3], RNG, 0), "samples is 0; allowed"),
        (
            lambda: ops.scaled_sample(RAW, KAPPA, RAW, [2, 3], RNG, 1, "moving"),
            "frame is 'moving'; allowed: mean, fixed",
        ),
        (lambda: ops.scaled_sample(RAW, KAPPA, RAW, [2, 3], RNG, shell=-1), "shell is -1"),
        (
            lambda: C.scaled_sample(RAW, KAPPA, RAW, [2, 3], RNG, 1, 2, True, 0, 0),
            "scaled_sample: no frame has number 2",
        ),
        (
            lambda: C.scaled_sample(RAW, KAPPA, RAW[:2], [2, 3], RNG, 1, 0, True, 0, 0),
            "raw_scales must have the shape of raw_directions",
        ),
    ],
)
def test_refusals(call, words):
    with pytest.raises((ValueError, TypeError, RuntimeError), match=words):
        call()
