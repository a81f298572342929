"""The ops as torch sees them: schema, fake tensors, derivatives, batching, compiling, refusals."""

import math
import os
import subprocess
import sys

import exact
import numpy as np
import pytest
import torch

from hvae import _library, _math, ops, random, reference

C = torch.ops.hvae
DTYPES = [torch.float64, torch.float32]
DIMS = [2, 3, 10, 41]
WIDTH = sum(DIMS)
ALL_CHECKS = (
    "test_schema",
    "test_autograd_registration",
    "test_faketensor",
    "test_aot_dispatch_dynamic",
)


@pytest.fixture(params=DTYPES, ids=["float64", "float32"])
def dtype(request):
    return request.param


@pytest.fixture(params=exact.DEVICES, autouse=True)
def device(request):
    """New tensors are made there."""
    with torch.device(request.param):
        yield request.param


def inputs(rows, dtype, grad=False):
    """Heads and concentrations of `rows` rows."""
    numbers = np.random.default_rng(rows)
    head = torch.tensor(numbers.normal(size=(rows, WIDTH)), dtype=dtype)
    kappa = torch.tensor(numbers.uniform(0, 5, (rows, len(DIMS))), dtype=dtype)
    return head.requires_grad_(grad), kappa.requires_grad_(grad)


def pixels(rows, images, n, dtype):
    numbers = np.random.default_rng(rows)
    logits = torch.tensor(numbers.normal(0, 3, (rows, n)), dtype=dtype)
    return logits, torch.tensor(numbers.integers(0, 2, (images, n)), dtype=torch.uint8)


def columns_samples(dtype):
    orders = [m / 2 - 1 for m in DIMS]
    for shape in ((5, 4), (2, 3, 4), (0, 4)):
        for quantity, name in enumerate(ops.QUANTITIES):
            kappa = torch.rand(shape, dtype=dtype) * 30
            # Both outputs are differentiated; those of the others have one derivative only.
            differentiable = name in ("L", "k_minus_L", "A", "one_minus_A", "KL")
            yield (kappa.requires_grad_(differentiable), orders, quantity)
    yield (torch.rand(4, 5, dtype=dtype).T.requires_grad_(), orders, 0)


def elements_samples(dtype):
    for shape in ((7,), (2, 3), (0,)):
        yield (
            torch.rand(shape, dtype=dtype) * 9,
            torch.rand(shape, dtype=dtype).requires_grad_(),
            0,
        )


def sample_samples(dtype):
    rng = random.stream(1, "user")
    for rows in (0, 1, 5):
        for gradient in (0, 1):
            head, kappa = inputs(rows, dtype, grad=True)
            yield (head, kappa, DIMS, rng, 2, gradient)
    wide = torch.randn(5, WIDTH + 7, dtype=dtype)[:, 3 : 3 + WIDTH]
    yield (wide.requires_grad_(), inputs(5, dtype)[1], DIMS, rng, 1, 0)


def sample_backward_samples(dtype):
    rng = random.stream(1, "user")
    for rows in (0, 5):
        head, kappa = inputs(rows, dtype)
        z, _, theta, kl, slope = C.sample(head, kappa, DIMS, rng, 2, 0)
        for gradient in (0, 1):
            yield (
                torch.ones_like(z),
                torch.ones_like(kl),
                head,
                kappa,
                theta,
                slope,
                DIMS,
                rng,
                gradient,
            )


def bernoulli_samples(dtype):
    for rows, images in ((6, 6), (6, 2), (0, 2)):
        logits, x = pixels(rows, images, 11, dtype)
        yield (logits.requires_grad_(), x)
        yield (logits.detach().requires_grad_(), x.to(dtype).requires_grad_())


def bernoulli_backward_samples(dtype):
    logits, x = pixels(6, 3, 11, dtype)
    yield (torch.randn(6, dtype=dtype).requires_grad_(), logits.requires_grad_(), x)


def numbers_samples(dtype):
    for normal in (True, False):
        yield (random.stream(1, "user"), 2, 3, 5, 1, normal, dtype)
        yield (random.stream(1, "user"), 0, 3, 5, 0, normal, dtype)


SAMPLES = {
    "columns": columns_samples,
    "elements": elements_samples,
    "sample": sample_samples,
    "sample_backward": sample_backward_samples,
    "bernoulli": bernoulli_samples,
    "bernoulli_backward": bernoulli_backward_samples,
    "numbers": numbers_samples,
}


@pytest.mark.filterwarnings("error:.*autograd kernel was not registered")
@pytest.mark.parametrize("name", SAMPLES)
def test_opcheck(name, dtype):
    """Schema, autograd registration, fake tensors, tracing with gradients and dynamic shapes."""
    for arguments in SAMPLES[name](dtype):
        torch.library.opcheck(getattr(C, name).default, arguments, test_utils=ALL_CHECKS)


def test_every_op_is_checked():
    queries = {"tiers", "tier", "use_tier", "built_with_cuda"}
    names = {
        name.split("::")[1].split(".")[0]
        for name in torch._C._dispatch_get_all_op_names()
        if name.startswith("hvae::")
    }
    assert names - queries == set(SAMPLES)


@pytest.mark.parametrize("quantity", ["L", "k_minus_L", "A", "one_minus_A", "KL"])
def test_vmf_gradcheck(quantity):
    """First and second derivatives of both outputs, in both zones (the cutoffs are at 25 and 1)."""
    kappa = torch.tensor(
        [[0.2, 3.0, 24.0, 0.5], [30.0, 9.0, 60.0, 1.5]], dtype=torch.float64, requires_grad=True
    )
    dims = [2, 3, 10, 60]

    def values(k):
        return ops.vmf(k, dims, quantity)

    assert torch.autograd.gradcheck(values, kappa)
    assert torch.autograd.gradgradcheck(lambda k: values(k)[0], kappa)


@pytest.mark.parametrize("quantity", ["dA", "dKL"])
def test_slope_gradcheck(quantity):
    kappa = torch.tensor([[0.2, 3.0, 24.0, 40.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda k: ops.vmf(k, DIMS, quantity)[0], kappa)


def test_bernoulli_gradcheck():
    logits, x = pixels(6, 2, 5, torch.float64)
    logits.requires_grad_()
    grey = torch.rand(2, 5, dtype=torch.float64, requires_grad=True)

    def by_bits(y):
        return ops.bernoulli_log_prob(y.unflatten(0, (3, 2)), x)

    def by_greys(y, p):
        return ops.bernoulli_log_prob(y.unflatten(0, (3, 2)), p)

    assert torch.autograd.gradcheck(by_bits, logits)
    assert torch.autograd.gradgradcheck(by_bits, logits)
    assert torch.autograd.gradcheck(by_greys, (logits, grey))
    assert torch.autograd.gradgradcheck(by_greys, (logits, grey))


@pytest.mark.parametrize("n", [1, 7, 16, 784, 1000])
def test_bernoulli_agrees_with_the_reference(n, dtype):
    """A sum of n terms of one sign: 4 eps of it covers the terms and the order of summation."""
    logits, x = pixels(12, 4, n, dtype)
    logits[0] *= 40
    grey = torch.rand(4, n, dtype=torch.float64).to(dtype)
    for image in (x, x.to(dtype), grey):
        stacked = logits.unflatten(0, (3, 4)).clone().requires_grad_()
        value = ops.bernoulli_log_prob(stacked, image)
        expected = reference.bernoulli_log_prob(stacked.double(), image.double())
        assert value.shape == (3, 4) and value.dtype == dtype
        eps = torch.finfo(dtype).eps
        torch.testing.assert_close(value.double(), expected, rtol=4 * eps, atol=4 * eps)
        (slope,) = torch.autograd.grad(value.sum(), stacked)
        torch.testing.assert_close(
            slope.double(),
            image.double() - torch.sigmoid(stacked.detach().double()),
            rtol=0,
            atol=4 * eps,
        )


def test_bernoulli_at_extreme_logits(dtype):
    """Far out a pixel's log-likelihood is minus the logit or 0; NaN stays NaN."""
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4], [200.0, -200.0]], dtype=dtype)
    x = torch.tensor([1, 0], dtype=torch.uint8)
    expected = torch.tensor([0, -2e4, 0], dtype=dtype)
    value = ops.bernoulli_log_prob(logits, x.expand(3, 2))
    torch.testing.assert_close(value, expected, rtol=0, atol=1e-80)  # exp(-200)
    nan = ops.bernoulli_log_prob(torch.tensor([[math.nan, 1.0]], dtype=dtype), x[None])
    assert nan.isnan().all()


@pytest.mark.parametrize("shape", [(0, 4, 5), (3, 0, 5), (3, 4, 0), (2, 3, 4, 5), (5,)])
def test_bernoulli_shapes(shape, dtype):
    logits = torch.randn(shape, dtype=torch.float64).to(dtype)
    for lead in range(len(shape)):
        x = torch.randint(0, 2, shape[lead:], dtype=torch.uint8)
        expected = reference.bernoulli_log_prob(logits, x)
        torch.testing.assert_close(ops.bernoulli_log_prob(logits, x), expected)


def test_bernoulli_of_strided_inputs(dtype):
    logits, x = pixels(12, 4, 20, dtype)
    expected = ops.bernoulli_log_prob(logits.unflatten(0, (3, 4)), x)
    crossed = logits.unflatten(0, (3, 4)).permute(2, 1, 0).contiguous().permute(2, 1, 0)
    assert torch.equal(ops.bernoulli_log_prob(crossed, x.T.contiguous().T), expected)


@pytest.mark.parametrize("kappa_grad", ops.KAPPA_GRADIENTS)
def test_a_draw_is_not_differentiated_twice(kappa_grad):
    head, kappa = inputs(3, torch.float64, grad=True)
    z, _, _, _ = ops.sample(head, kappa, DIMS, random.stream(1, "user"), 2, kappa_grad)
    slopes = torch.autograd.grad((z**2).sum() + z.sum(), (head, kappa), create_graph=True)
    for slope in slopes:
        with pytest.raises(RuntimeError, match="no second derivative"):
            torch.autograd.grad(slope.sum(), kappa, retain_graph=True)


def test_only_z_and_kl_carry_gradients():
    head, kappa = inputs(3, torch.float64, grad=True)
    z, v, theta, kl = ops.sample(head, kappa, DIMS, random.stream(1, "user"))
    assert z.requires_grad and kl.requires_grad
    assert not v.requires_grad and not theta.requires_grad
    (slope,) = torch.autograd.grad(kl.sum(), kappa, retain_graph=True)
    torch.testing.assert_close(slope, ops.vmf(kappa, DIMS, "KL")[1].detach(), rtol=1e-14, atol=0)
    (no_pull,) = torch.autograd.grad(kl.sum(), head, retain_graph=True)
    assert (no_pull == 0).all()
    # Only one of the inputs may want a gradient.
    for one, other in ((head, kappa.detach()), (head.detach(), kappa)):
        z, _, _, _ = ops.sample(one, other, DIMS, random.stream(1, "user"))
        z.sum().backward()
    assert head.grad is not None and kappa.grad is not None


def test_a_zero_head_gets_no_gradient(dtype):
    head, kappa = inputs(4, dtype)
    head[2, 5:15] = 0
    head.requires_grad_()
    z, *_ = ops.sample(head, kappa, DIMS, random.stream(1, "user"))
    (slope,) = torch.autograd.grad((z * torch.randn_like(z)).sum(), head)
    assert (slope[2, 5:15] == 0).all() and slope.isfinite().all()
    assert (slope[1] != 0).all()


def test_empty_inputs(dtype):
    head, kappa = inputs(0, dtype, grad=True)
    z, v, theta, kl = ops.sample(head, kappa, DIMS, random.stream(1, "user"), 3)
    assert z.shape == (3, 0, WIDTH) and v.shape == theta.shape == (3, 0, 4) and kl.shape == (0, 4)
    slopes = torch.autograd.grad(z.sum() + kl.sum(), (head, kappa))
    assert [s.shape for s in slopes] == [head.shape, kappa.shape]
    value, derivative = ops.vmf(torch.empty(2, 0, 4, dtype=dtype), DIMS, "L")
    assert value.shape == derivative.shape == (2, 0, 4)
    assert ops.normal(random.stream(1, "user"), 0, 3, 2, dtype=dtype).shape == (0, 3, 2)
    assert ops.uniform(random.stream(1, "user"), 2, 3, 0, dtype=dtype).shape == (2, 3, 0)


def test_vmap(dtype):
    kappa = torch.rand(6, 3, 4, dtype=dtype) * 9
    together = ops.vmf(kappa, DIMS, "KL")
    for axis in range(2):
        apart = torch.vmap(lambda k: ops.vmf(k, DIMS, "KL"), in_dims=axis, out_dims=axis)(kappa)
        for x, y in zip(apart, together, strict=True):
            assert torch.equal(x, y)
    logits, x = pixels(24, 4, 11, dtype)
    logits = logits.unflatten(0, (2, 3, 4))
    expected = ops.bernoulli_log_prob(logits, x)
    shared = torch.vmap(ops.bernoulli_log_prob, in_dims=(0, None))
    assert torch.equal(shared(logits, x), expected)
    images = torch.stack((x, 1 - x))
    each = torch.vmap(ops.bernoulli_log_prob)(logits, images)
    for i in range(2):
        assert torch.equal(each[i], ops.bernoulli_log_prob(logits[i], images[i]))


def test_vmap_of_a_draw(dtype):
    """The batch joins the rows: row r of element b is row b R + r of the stream."""
    head, kappa = inputs(12, dtype)
    rng = random.stream(1, "user")

    def draw(h, k):
        return ops.sample(h, k, DIMS, rng, 2)

    outputs = torch.vmap(draw, out_dims=(1, 1, 1, 0))(
        head.unflatten(0, (3, 4)), kappa.unflatten(0, (3, 4))
    )
    for x, y in zip(outputs, draw(head, kappa), strict=True):
        assert torch.equal(x.reshape(y.shape), y)


def test_compile_fullgraph(dtype):
    """A model's step through every op, with gradients, in one graph and for changing row counts."""
    torch._dynamo.reset()

    def step(head, kappa, rng, x):
        z, v, _, kl = ops.sample(head, kappa, DIMS, rng, 2)
        weight = ops.vmf(kappa, DIMS, "k_minus_L")[0] - kappa * v
        noise = ops.normal(rng, 2, head.shape[0], 8, dtype=head.dtype)
        likelihood = ops.bernoulli_log_prob(torch.tanh(z[..., :8]) + noise, x)
        return (likelihood - kl.sum(-1) + weight.sum(-1)).sum()

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager", dynamic=True)
    for rows in (5, 9):
        x = torch.ones(rows, 8, dtype=torch.uint8)
        results = []
        for function in (step, compiled):
            head, kappa = inputs(rows, dtype, grad=True)
            loss = function(head, kappa, random.stream(1, "user"), x)
            results.append((loss, *torch.autograd.grad(loss, (head, kappa))))
        for eager, graph in zip(*results, strict=True):
            torch.testing.assert_close(graph, eager)


RNG = random.stream(1, "user")
HEAD, KAPPA = torch.ones(3, 5), torch.ones(3, 2)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: ops.vmf(KAPPA, [2, 3], "B"), "quantity is 'B'; allowed: L, k_minus_L"),
        (lambda: ops.vmf(KAPPA, [2], "L"), r"kappa has shape \(3, 2\)"),
        (lambda: ops.vmf(KAPPA, [2, 1], "L"), "at least 2"),
        (lambda: ops.vmf(KAPPA, [], "L"), "dims is"),
        (lambda: ops.vmf(torch.tensor(1.0), [2], "L"), "kappa has shape"),
        (lambda: ops.vmf(KAPPA.long(), [2, 3], "L"), "dtype torch.int64; allowed"),
        (lambda: ops.vmf(KAPPA.half(), [2, 3], "L"), "dtype torch.float16; allowed"),
        (lambda: ops.vmf(KAPPA.numpy(), [2, 3], "L"), "a ndarray; allowed: a tensor"),
        (lambda: ops.sample(HEAD, KAPPA, [2, 2], RNG), r"head has shape \(3, 5\)"),
        (lambda: ops.sample(HEAD[0], KAPPA, [2, 3], RNG), "head has shape"),
        (lambda: ops.sample(HEAD, KAPPA[:2], [2, 3], RNG), "kappa has shape"),
        (lambda: ops.sample(HEAD, KAPPA, [1, 4], RNG), "at least 2"),
        (lambda: ops.sample(HEAD, KAPPA, [2, 3], RNG, 0), "samples is 0; allowed: 1 or more"),
        (lambda: ops.sample(HEAD, KAPPA, [2, 3], RNG, 1, "exact"), "allowed: implicit, naive"),
        (lambda: ops.sample(HEAD, KAPPA.double(), [2, 3], RNG), "dtype"),
        (lambda: ops.sample(HEAD, KAPPA, [2, 3], RNG[:3]), "rng"),
        (lambda: ops.sample(HEAD, KAPPA, [2, 3], RNG.float()), "rng"),
        (lambda: ops.bernoulli_log_prob(HEAD, HEAD.long()), "dtype torch.int64; allowed"),
        (lambda: ops.bernoulli_log_prob(HEAD, HEAD[:, :4]), r"x has shape \(3, 4\)"),
        (lambda: ops.bernoulli_log_prob(HEAD[0], HEAD), r"x has shape \(3, 5\)"),
        (lambda: ops.bernoulli_log_prob(HEAD.long(), HEAD), "dtype torch.int64; allowed"),
        (lambda: ops.normal(RNG[:2], 1, 1, 1), "rng"),
        (lambda: ops.normal(RNG, 1, 1, 1, dtype=torch.int64), "dtype"),
        (lambda: ops.uniform(RNG, -1, 1, 1), "negative"),
    ],
)
def test_refusals(call, words):
    """One line that names the argument and what is allowed."""
    with pytest.raises((ValueError, TypeError, RuntimeError), match=words):
        call()


def test_log_area():
    for m in (2, 3, 4, 41):
        assert ops.log_area(m) == pytest.approx(reference.log_area(m), rel=1e-15)
    assert math.exp(ops.log_area(3)) == pytest.approx(4 * math.pi)


def test_scalar_philox():
    """Random123's published vectors, through NumPy."""
    counter = np.array([[0] * 4, [0xFFFFFFFF] * 4], np.uint32)
    assert _math.philox(counter[0], 0).tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    ones = _math.philox(counter[1:], 0xFFFFFFFFFFFFFFFF)
    assert ones.tolist() == [[0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]]


def test_an_unknown_tier_is_refused():
    """A misspelled $HVAE_TIER must not run as another one."""
    command = "import sys; from hvae.cli import main; sys.exit(main(['info']))"
    done = subprocess.run(
        [sys.executable, "-c", command],
        env={**os.environ, "HVAE_TIER": "avx3"},
        capture_output=True,
        text=True,
    )
    there = ", ".join(C.tiers().split())
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == f"hvae: error: HVAE_TIER is 'avx3'; allowed on this machine: {there}\n"


def test_a_missing_library_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(_library, "__file__", str(tmp_path / "_library.py"))
    with pytest.raises(ImportError, match="are missing from .*; rebuild with: pip install") as one:
        _library.load()
    assert one.value.exit_status == 4
    (tmp_path / "_C.so").write_bytes(b"not a library")
    with pytest.raises(ImportError, match=r"do not load under torch .*; rebuild with: pip") as two:
        _library.load()
    assert two.value.exit_status == 4 and "\n" not in str(two.value)
