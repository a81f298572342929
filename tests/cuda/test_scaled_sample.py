"""Draws of scaled shells on a GPU, and their gradients, against the CPU's.

In units of 1 + |value|: the sums of m terms in other orders and exponentials of log scales up to 10
in size leave some hundred eps.
"""

import pytest
import thorough
import torch
from compare import apart, by_shell
from draws import CPU, RNG, Inputs

SHELLS = [[2], [10, 10, 10, 11], [2, 3, 4, 17, 70], [128]]
SHELLS += thorough.count([], [[3], [3 + i % 5 for i in range(300)]])  # the last in 2 launches
FRAMES = {"mean": 0, "fixed": 1}
BARS = {"z": 100, "v": 40, "theta": 40, "stretch": 400, "volume": 200, "kl": 400, "slope": 40}
GRADIENTS = {"raw": 4000, "kappa": 4000, "scales": 4000}


@pytest.mark.parametrize("dims", SHELLS, ids=lambda dims: f"{len(dims)}x{dims[0]}")
@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("samples, centred", [(1, True), (3, False)])
def test_draws_and_gradients_are_those_of_the_cpu(
    backend, each_dtype, dims, frame, samples, centred
):
    for dtype in each_dtype:
        x = Inputs.of(dims, 5, dtype, most=1.3)
        raw = x.raw.contiguous()
        raw[2, : dims[0]] = 0
        choices = (FRAMES[frame], centred, FRAMES[frame], 2)
        arguments = (raw, x.kappa, x.scales, dims, RNG, samples, *choices)
        found, expected = backend("scaled_sample", *arguments), CPU.scaled_sample(*arguments)
        assert (by_shell(found[0] - expected[0], dims) < 1e-3).all()  # no other proposal was taken
        for (name, bar), a, b in zip(BARS.items(), found, expected, strict=True):
            assert apart(a, b, 1 + b.abs()) < bar, name
        gz, gkl = x.arriving(samples)
        rest = (gz, gkl, raw, x.kappa, x.scales, expected[2], expected[6], dims, RNG, *choices)
        found = backend("scaled_sample_backward", *rest)
        for (name, bar), a, b in zip(
            GRADIENTS.items(), found, CPU.scaled_sample_backward(*rest), strict=True
        ):
            assert apart(a, b, 1 + b.abs()) < bar, name


@pytest.mark.parametrize("m", [3, 16, 17, 70])
def test_bits_of_a_shell_depend_on_no_other_shell(backend, each_dtype, m):
    dims = [5, m, 100]
    for dtype in each_dtype:
        x, part = Inputs.of(dims, 3, dtype, most=1.3), slice(5, 5 + m)
        whole = backend("scaled_sample", x.raw, x.kappa, x.scales, dims, RNG, 1, 0, True, 0, 0)
        raw, kappa, scales = x.raw[:, part], x.kappa[:, 1:2], x.scales[:, part]
        alone = backend("scaled_sample", raw, kappa, scales, [m], RNG, 1, 0, True, 0, 1)
        assert torch.equal(alone[0], whole[0][..., part])
        for a, b in zip(alone[1:], whole[1:], strict=True):
            assert torch.equal(a, b[..., 1:2])
