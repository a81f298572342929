"""hvae.training.adam against torch's fused optimizer."""

import torch

from hvae.training.adam import Adam

SHAPES = {"a.weight": (7, 5), "a.bias": (7,), "b.weight": (300, 11)}


def gradients(step):
    generator = torch.Generator().manual_seed(step)
    scale = 10 ** (step % 3 - 4)
    return [scale * torch.randn(shape, generator=generator) for shape in SHAPES.values()]


def test_it_is_torchs_to_the_bit_and_a_skipped_step_changes_nothing():
    start = [torch.linspace(-1, 1, torch.Size(s).numel()).reshape(s) for s in SHAPES.values()]
    theirs = [weight.clone().requires_grad_() for weight in start]
    usual = torch.optim.Adam(theirs, lr=2e-3, fused=True)
    mine = [weight.clone().requires_grad_() for weight in start]
    ours = Adam(dict(zip(SHAPES, mine, strict=True)), 2e-3)
    usual.found_inf = torch.zeros(())
    for step in range(25):
        skipped = torch.tensor(float(step in (3, 4, 11)))
        usual.found_inf = skipped
        for weight, gradient in zip(theirs, gradients(step), strict=True):
            weight.grad = gradient
        usual.step()
        ours.update(gradients(step), skipped)
    state = ours.state()
    for name, weight, other in zip(SHAPES, mine, theirs, strict=True):
        assert torch.equal(weight, other)
        for key in ("step", "exp_avg", "exp_avg_sq"):
            assert torch.equal(state[f"{name}.{key}"], usual.state[other][key])
    assert state["a.bias.step"] == 22


def test_a_copy_into_its_state_restores_it():
    first, second = ({name: torch.ones(shape) for name, shape in SHAPES.items()} for _ in range(2))
    one, other = Adam(first, 1e-2), Adam(second, 1e-2)
    for step in range(3):
        one.update(gradients(step), torch.zeros(()))
    for name, tensor in one.state().items():
        other.state()[name].copy_(tensor)
    for name, tensor in first.items():
        second[name].copy_(tensor)
    for adam in (one, other):
        adam.update(gradients(3), torch.zeros(()))
    assert all(torch.equal(first[name], second[name]) for name in SHAPES)
