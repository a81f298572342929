"""The ops as torch sees them: schemas, shapes without data, batching, compiling, refusals."""

import subprocess
import sys

import pytest
import thorough
import torch
from op_inputs import DIMS, WIDTH, inputs, pixels

from hvae import ops, random
from hvae.distributions import around, bregman  # noqa: F401  # ops of their own

pytestmark = pytest.mark.usefixtures("device")

C = torch.ops.hvae
ALL_CHECKS = (
    "test_schema",
    "test_autograd_registration",
    "test_faketensor",
    "test_aot_dispatch_dynamic",
)


def columns_samples(dtype):
    orders = [m / 2 - 1 for m in DIMS]
    for quantity, name in enumerate(ops.QUANTITIES):
        # A quantity is a number that only the kernel reads: the other shapes do with one.
        for shape in ((5, 4), (2, 3, 4), (0, 4))[: 3 if quantity == 0 else thorough.count(1, 3)]:
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
        for gradient, shell in ((0, 0), (1, 3)):
            raw, kappa = inputs(rows, dtype, grad=True)
            yield (raw, kappa, DIMS, rng, 2, gradient, shell)
    wide = torch.randn(5, WIDTH + 7, dtype=dtype)[:, 3 : 3 + WIDTH]
    yield (wide.requires_grad_(), inputs(5, dtype)[1], DIMS, rng, 1, 0, 0)


def sample_backward_samples(dtype):
    rng = random.stream(1, "user")
    for rows in (0, 5):
        raw, kappa = inputs(rows, dtype)
        z, _, theta, kl, slope = C.sample(raw, kappa, DIMS, rng, 2, 0, 3)
        for gradient in (0, 1):
            yield (
                torch.ones_like(z),
                torch.ones_like(kl),
                raw,
                kappa,
                theta,
                slope,
                DIMS,
                rng,
                gradient,
                3,
            )


def scaled_sample_samples(dtype):
    for raw, kappa, dims, rng, samples, gradient, shell in sample_samples(dtype):
        scales = torch.randn(raw.shape, dtype=dtype).requires_grad_()
        for frame, centred in ((0, True), (1, False)):
            choices = (samples, frame, centred, gradient, shell)
            yield (raw, kappa, scales, dims, rng, *choices)


def scaled_sample_backward_samples(dtype):
    rng = random.stream(1, "user")
    for rows in (0, 5):
        raw, kappa = inputs(rows, dtype)
        scales = torch.randn(raw.shape, dtype=dtype)
        for choices in ((0, True, 0, 3), (1, False, 1, 3)):
            z, _, theta, _, _, kl, slope = C.scaled_sample(
                raw, kappa, scales, DIMS, rng, 2, *choices
            )
            given = (raw, kappa, scales, theta, slope)
            yield (torch.ones_like(z), torch.ones_like(kl), *given, DIMS, rng, *choices)


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


def log_mixture_samples(dtype):
    for rows in (0, 6):
        parts = (torch.randn(rows, 4), torch.randn(4, 3), torch.randn(3))
        yield tuple(part.to(dtype).requires_grad_() for part in parts)


def log_mixture_backward_samples(dtype):
    parts = [part.detach() for part in next(iter(reversed([*log_mixture_samples(dtype)])))]
    total = C.log_mixture(*parts)
    yield (torch.randn_like(total), *parts, total)


def sample_tangent_samples(dtype):
    rng = random.stream(1, "user")
    for rows in (0, 5):
        raw, kappa = inputs(rows, dtype)
        z, v, theta, _, _ = C.sample(raw, kappa, DIMS, rng, 2, 0, 3)
        for gradient in (0, 1):
            yield (raw, kappa, z, v, theta, raw, kappa, DIMS, rng, gradient, 3)


def log_hyp0f1_samples(dtype):
    for shape in ((7,), (2, 3), (0,)):
        x, order = torch.rand(shape, dtype=dtype) * 9, torch.rand(shape, dtype=dtype) * 3
        yield (x.clone().requires_grad_(), order, 0.0)
        for number in (0.5, 2.5):
            yield (x.clone().requires_grad_(), None, number)


def bregman_samples(dtype):
    for shape in ((5, 4), (2, 3, 4), (0, 4)):
        yield (*(torch.rand(shape, dtype=dtype).requires_grad_() for _ in range(2)), DIMS)


def power_angle_samples(dtype):
    for rows, samples in ((0, 2), (5, 3), (5, 0)):
        k = torch.rand(rows, dtype=dtype) * 9
        yield (k.requires_grad_(), 4, random.stream(1, "user"), samples, 1)


def power_angle_slope_samples(dtype):
    for rows, samples in ((0, 2), (5, 3)):
        yield (torch.rand(rows, dtype=dtype) * 9, torch.rand(samples, rows, dtype=dtype), 4)


def around_samples(dtype):
    for rows in (0, 5):
        mean = torch.nn.functional.normalize(torch.randn(rows, 4, dtype=dtype), dim=-1)
        theta = torch.rand(3, rows, dtype=dtype)
        yield (mean.requires_grad_(), theta.requires_grad_(), random.stream(1, "user"), 1)


def around_backward_samples(dtype):
    for mean, theta, rng, shell in around_samples(dtype):
        with torch.no_grad():
            z, tangent = C.around(mean, theta, rng, shell)
        yield (torch.randn_like(z), mean.detach(), theta.detach(), z, tangent)


def around_tangent_samples(dtype):
    for grad, mean, theta, z, tangent in around_backward_samples(dtype):
        yield (mean, theta, z, tangent, grad[0], torch.ones_like(theta))


SAMPLES = {
    "columns": columns_samples,
    "elements": elements_samples,
    "sample": sample_samples,
    "sample_backward": sample_backward_samples,
    "sample_tangent": sample_tangent_samples,
    "scaled_sample": scaled_sample_samples,
    "scaled_sample_backward": scaled_sample_backward_samples,
    "bernoulli": bernoulli_samples,
    "bernoulli_backward": bernoulli_backward_samples,
    "numbers": numbers_samples,
    "power_angle": power_angle_samples,
    "power_angle_slope": power_angle_slope_samples,
    "around": around_samples,
    "around_backward": around_backward_samples,
    "around_tangent": around_tangent_samples,
    "log_hyp0f1": log_hyp0f1_samples,
    "log_hyp0f1_slope": log_hyp0f1_samples,
    "bregman": bregman_samples,
    "log_mixture": log_mixture_samples,
    "log_mixture_backward": log_mixture_backward_samples,
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


def test_compile_fullgraph(dtype):
    """A model's step through every op, with gradients, in one graph and for changing row counts."""
    torch._dynamo.reset()

    def step(raw, kappa, rng, x):
        z, v, _, kl = ops.sample(raw, kappa, DIMS, rng, 2, shell=1)
        weight = ops.vmf(kappa, DIMS, "k_minus_L")[0] - kappa * v
        noise = ops.normal(rng, 2, raw.shape[0], 8, dtype=raw.dtype)
        likelihood = ops.bernoulli_log_prob(torch.tanh(z[..., :8]) + noise, x)
        return (likelihood - kl.sum(-1) + weight.sum(-1)).sum()

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager", dynamic=True)
    for rows in (5, 9):
        x = torch.ones(rows, 8, dtype=torch.uint8)
        results = []
        for function in (step, compiled):
            raw, kappa = inputs(rows, dtype, grad=True)
            loss = function(raw, kappa, random.stream(1, "user"), x)
            results.append((loss, *torch.autograd.grad(loss, (raw, kappa))))
        for eager, graph in zip(*results, strict=True):
            torch.testing.assert_close(graph, eager)


RNG = random.stream(1, "user")


RAW, KAPPA = torch.ones(3, 5), torch.ones(3, 2)


def to_the_cpu(op, *arguments):
    """The op's kernel for the CPU, as torch calls it where an argument is on another device."""
    cpu = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
    return op.default.redispatch(cpu, *arguments)


def backward(rng=RNG, gradient=0, shell=0):
    """`hvae::sample_backward` of RAW and KAPPA."""
    arriving = (RAW[None], KAPPA, RAW, KAPPA, KAPPA[None], KAPPA)
    return to_the_cpu(C.sample_backward, *arriving, [2, 3], rng, gradient, shell)


def elsewhere(x):
    """x on another device than the CPU."""
    return x.to("meta")


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
        (lambda: ops.sample(RAW, KAPPA, [2, 2], RNG), r"raw_directions has shape \(3, 5\)"),
        (lambda: ops.sample(RAW[0], KAPPA, [2, 3], RNG), "raw_directions has shape"),
        (lambda: ops.sample(RAW, KAPPA[:2], [2, 3], RNG), "kappa has shape"),
        (lambda: ops.sample(RAW, KAPPA, [1, 4], RNG), "at least 2"),
        (lambda: ops.sample(RAW, KAPPA, [2, 3], RNG, 0), "samples is 0; allowed: 1 or more"),
        (lambda: ops.sample(RAW, KAPPA, [2, 3], RNG, 1, "exact"), "allowed: implicit, naive"),
        (lambda: ops.sample(RAW, KAPPA, [2, 3], RNG, shell=-1), "shell is -1; allowed: 0 to 65533"),
        (lambda: ops.sample(RAW, KAPPA, [2, 3], RNG, shell=65534), "shell is 65534; allowed: 0 to"),
        (lambda: ops.sample(RAW, KAPPA.double(), [2, 3], RNG), "dtype"),
        (lambda: ops.sample(RAW, KAPPA, [2, 3], RNG[:3]), "rng"),
        (lambda: ops.sample(RAW, KAPPA, [2, 3], RNG.float()), "rng"),
        (lambda: ops.power_angle(KAPPA, 3, RNG), r"k has shape \(3, 2\); allowed: \[rows\]"),
        (lambda: ops.power_angle(KAPPA[0].long(), 3, RNG), "dtype torch.int64; allowed"),
        (lambda: ops.power_angle(KAPPA[0], 1, RNG), "at least 2"),
        (lambda: ops.power_angle(KAPPA[0], 32769, RNG), "m must be from 2 to 32768, not 32769"),
        (lambda: ops.power_angle(KAPPA[0], 3, RNG, -1), "samples must not be negative"),
        (lambda: ops.power_angle(KAPPA[0], 3, RNG, shell=65535), "shell is 65535; allowed: 0 to"),
        (lambda: ops.power_angle(KAPPA[0], 3, RNG[:2]), "rng"),
        (lambda: ops.bernoulli_log_prob(RAW, RAW.long()), "dtype torch.int64; allowed"),
        (lambda: ops.bernoulli_log_prob(RAW, RAW[:, :4]), r"x has shape \(3, 4\)"),
        (lambda: ops.bernoulli_log_prob(RAW[0], RAW), r"x has shape \(3, 5\)"),
        (lambda: ops.bernoulli_log_prob(RAW.long(), RAW), "dtype torch.int64; allowed"),
        (lambda: ops.normal(RNG[:2], 1, 1, 1), "rng"),
        (lambda: ops.normal(RNG, 1, 1, 1, dtype=torch.int64), "dtype"),
        (lambda: ops.uniform(RNG, -1, 1, 1), "negative"),
        (lambda: ops.normal(RNG, 1, 1, 1, 65536), "shell must be from 0 to 65535, not 65536"),
        (lambda: ops.normal(RNG, 1, 1, 1, -1), "shell must be from 0 to 65535, not -1"),
        (lambda: ops.normal(RNG, 1, 1, 131073, 1), "at most 131072 numbers"),
    ],
)
def test_refusals(call, words):
    """One line that names the argument and what is allowed."""
    with pytest.raises((ValueError, TypeError, RuntimeError), match=words):
        call()


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: C.columns(KAPPA, [0.0, 0.5], 9), "no quantity has number 9"),
        (lambda: C.columns(KAPPA, [0.0], 0), "one element an order"),
        (lambda: C.elements(KAPPA, KAPPA, -1), "no quantity has number -1"),
        (lambda: C.elements(KAPPA[:2], KAPPA, 0), "the same shape"),
        (lambda: C.power_angle(KAPPA, 3, RNG, 1, 0), r"k must be \[rows\]"),
        (lambda: C.power_angle(KAPPA[0], 3, RNG, 1, -1), "shell must be from 0 to 65535"),
        (lambda: C.power_angle_slope(KAPPA[0], KAPPA[0], 3), r"theta must be \[samples, rows\]"),
        (lambda: C.sample(RAW, KAPPA, [2, 3], RNG, 1, 0, -1), "shell must be from 0 to 65533"),
        (lambda: C.sample(RAW, KAPPA, [2, 3], RNG, 1, 0, 65534), "for 2 shells, not 65534"),
        (lambda: C.sample(RAW, KAPPA, [5], RNG, 1, 0, 0), r"kappa must be \[rows, 1\]"),
        (lambda: C.sample(RAW, KAPPA, [], RNG, 1, 0, 0), "dims must name 1 to 32767 shells"),
        (lambda: C.sample(RAW, KAPPA, [2, 32769], RNG, 1, 0, 0), "from 2 to 32768, not 32769"),
        (lambda: backward(gradient=2), "no gradient has number 2"),
        (lambda: backward(shell=65534), "for 2 shells, not 65534"),
    ],
)
def test_refusals_of_the_compiled_ops(call, words):
    """What the functions of `hvae.ops` refuse first, the ops refuse themselves."""
    with pytest.raises(RuntimeError, match=words):
        call()


@pytest.mark.parametrize(
    "call, words",
    [
        (
            lambda: to_the_cpu(C.sample, RAW, KAPPA, [2, 3], elsewhere(RNG), 1, 0, 0),
            "rng must be on the device of raw_directions",
        ),
        (
            lambda: to_the_cpu(C.sample, RAW, elsewhere(KAPPA), [2, 3], RNG, 1, 0, 0),
            "kappa must be on the device of raw_directions",
        ),
        (lambda: backward(elsewhere(RNG)), "rng must be on the device of grad_z"),
        (
            lambda: to_the_cpu(C.bernoulli, RAW, elsewhere(RAW)),
            "x must be on the device of logits",
        ),
        (
            lambda: to_the_cpu(C.elements, elsewhere(KAPPA), KAPPA, 0),
            "order must be on the device of k",
        ),
    ],
)
def test_tensors_of_two_devices_are_refused(call, words):
    with pytest.raises(RuntimeError, match=words):
        call()


def test_imports():
    """The ops stand on the compiled library and the errors alone."""
    command = "import sys, hvae.ops; print(*(m for m in sys.modules if m.startswith('hvae.')))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    others = [name for name in done.stdout.split() if not name.startswith("hvae.ops")]
    assert done.returncode == 0 and sorted(others) == ["hvae._library", "hvae.errors"]
