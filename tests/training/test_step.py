"""hvae.training.step: the order of an epoch, the update, and what happens when it is not finite."""

import math

import exact
import few
import pytest
import torch
from few import digits, trainer
from torch.utils._python_dispatch import TorchDispatchMode

from hvae import random
from hvae.training import step as steps
from hvae.training.divergence import NotFinite
from hvae.training.step import Trainer, epoch_permutation


def step(one, images=None, skipped=None):
    images = digits().train[:50] if images is None else images
    skipped = torch.zeros(()) if skipped is None else skipped
    weight = torch.ones(len(one.model.latent.components))
    return one.step(images, random.stream(0, "train", step=one.steps), weight, skipped)


def values(tensors):
    return [tensor.detach().clone() for tensor in tensors]


class TestOrder:
    def test_it_is_a_permutation_of_the_epoch(self):
        one, same, next_epoch, other_seed = (
            epoch_permutation(130, seed, epoch) for seed, epoch in ((0, 1), (0, 1), (0, 2), (1, 1))
        )
        assert one.sort().values.tolist() == list(range(130))
        assert torch.equal(one, same)
        assert not torch.equal(one, next_epoch) and not torch.equal(one, other_seed)

    def test_every_image_is_used_once_in_batches_of_the_given_size(self):
        one, batches = trainer(), []
        original = one.step
        one.step = lambda images, *rest: (batches.append(images), original(images, *rest))[1]
        one.epoch(digits().train, 1)
        assert [len(batch) for batch in batches] == [50, 50, 30]
        used = sorted(torch.cat(batches).tolist())
        assert used == sorted(digits().train.tolist())

    def test_every_step_has_its_own_stream(self):
        one, streams = trainer(), []
        original = one.step
        one.step = lambda x, rng, *rest: (streams.append(rng.tolist()), original(x, rng, *rest))[1]
        one.epoch(digits().train, 1)
        one.epoch(digits().train, 2)
        key = random.key(0, "train")
        assert streams == [[key, number, 0, 0] for number in range(6)]


class TestStep:
    @pytest.mark.parametrize("samples", [1, 3])
    def test_it_is_adam_on_the_mean_of_the_weighted_bound(self, samples):
        """Against the loss written out and torch's unfused Adam, to the rounding of float32."""
        one, other = trainer(samples=samples), trainer()
        plain = torch.optim.Adam(other.parameters, lr=1e-3, fused=False)
        images = digits().train[:50]
        weight = torch.tensor([0.25, 0.75])
        for number in range(3):
            rng = random.stream(0, "train", step=number)
            one.step(images, rng, weight, torch.zeros(()))
            terms = other.model.terms(images, rng, samples)
            kl = 0.25 * terms.kl[:, 0] + 0.75 * terms.kl[:, 1]
            plain.zero_grad()
            (kl - sum(terms.log_likelihood) / samples).mean().backward()
            plain.step()
        for a, b in zip(one.parameters, other.parameters, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5)  # 3 steps of 1e-3

    @pytest.mark.parametrize("lr", [1e-3, 0.5])
    def test_it_is_adam_as_it_is_written(self, lr):
        """Kingma and Ba (2015), algorithm 1, with 0.9, 0.999 and 1e-8, five steps in float64.

        The gradients here are 0 or of a size between 3e-5 and 0.7, and Adam divides by that size.
        So their rounding moves a weight by parts of 1e-11 of the rate; an epsilon that is wrong by
        a tenth moves one by 3e-5 of it, and a beta2 of 0.9989 by more.
        """
        one, model = (few.vae().double() for _ in range(2))
        one = Trainer(one, lr, 50)
        weight = torch.tensor([0.25, 0.75], dtype=torch.float64)
        images = digits().train[:50]
        parameters = list(model.parameters())
        first, second = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
        for t in range(1, 6):
            rng = random.stream(0, "train", step=t)
            one.step(images, rng, weight, torch.zeros(()))
            terms = model.terms(images, rng)
            value = (terms.kl @ weight - terms.log_likelihood[0]).mean()
            gradients = torch.autograd.grad(value, parameters)
            with torch.no_grad():
                for p, g, m, v in zip(parameters, gradients, first, second, strict=True):
                    m.copy_(0.9 * m + 0.1 * g)
                    v.copy_(0.999 * v + 0.001 * g * g)
                    root = (v / (1 - 0.999**t)).sqrt()
                    p -= lr * (m / (1 - 0.9**t)) / (root + 1e-8)  # noqa: PLW2901
            state = one.optimizer_state()
            for i, (name, p) in enumerate(one.model.named_parameters()):
                torch.testing.assert_close(p, parameters[i], rtol=0, atol=1e-7 * lr)
                assert state[f"{name}.step"] == t
                for key, mine in (("exp_avg", first[i]), ("exp_avg_sq", second[i])):
                    scale = mine.abs().max().item()
                    atol = 1e-9 * scale
                    torch.testing.assert_close(state[f"{name}.{key}"], mine, rtol=0, atol=atol)

    def test_its_trace_has_what_arrives_at_the_raw_parameters(self):
        """Those of the posterior, its concentrations, and the gradients summed over the rows."""
        one = trainer(kl_weights=(0.5, 2.0))
        images, rng = digits().train[:50], random.stream(0, "train", step=0)
        terms = one.model.terms(images, rng)
        value = (terms.kl.sum(1) - terms.log_likelihood[0]).mean()
        (arriving,) = torch.autograd.grad(value, terms.posterior.raw)
        trace = step(one)
        assert torch.equal(trace.raw, terms.posterior.raw)
        assert torch.equal(trace.concentration, terms.posterior.concentration)
        scale = arriving.abs().sum(0)
        bound = 50 * torch.finfo(torch.float32).eps * scale
        assert ((trace.raw_gradient - arriving.sum(0)).abs() <= bound).all()
        assert not any(tensor.requires_grad for tensor in trace if tensor is not None)
        assert all(parameter.grad is None for parameter in one.parameters)

    def test_its_trace_has_the_mean_over_samples(self):
        one = trainer(samples=3)
        images, rng = digits().train[:50], random.stream(0, "train", step=0)
        with torch.no_grad():
            terms = one.model.terms(images, rng, 3)
        trace = step(one)
        assert torch.equal(trace.log_likelihood, terms.log_likelihood.mean(0))
        assert torch.equal(trace.kl, terms.kl)

    def test_the_warm_up_multiplies_the_weights_of_the_components(self):
        one, weights = trainer(kl_weights=(0.5, 2.0)), []
        original = one.step

        def watched(images, rng, weight, *rest):
            weights.append(weight.tolist())
            return original(images, rng, weight, *rest)

        one.step = watched
        one.epoch(digits().train, 1, 0.25)
        one.epoch(digits().train, 2)
        assert weights == [[0.125, 0.5]] * 3 + [[0.5, 2.0]] * 3

    def test_the_figures_of_an_epoch_are_without_weights(self):
        """With a rate that moves nothing, they are those of weights of 1."""
        plain, weighted = (trainer(lr=1e-30, kl_weights=w) for w in (None, (0.5, 2.0)))
        assert plain.epoch(digits().train, 1) == weighted.epoch(digits().train, 1)

    def test_a_loss_that_is_not_finite_changes_nothing(self):
        one = trainer()
        step(one)
        with torch.no_grad():
            one.model.decoder[0].bias[0] = math.inf
        before = values([*one.parameters, *one.optimizer_state().values()])
        skipped = torch.zeros(())
        step(one, skipped=skipped)
        assert skipped.item() == 1
        after = [*one.parameters, *one.optimizer_state().values()]
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))

    def test_a_finite_step_is_not_skipped(self):
        one, skipped = trainer(), torch.zeros(())
        before = values(one.parameters)
        step(one, skipped=skipped)
        assert skipped.item() == 0
        counts = [t.item() for key, t in one.optimizer_state().items() if key.endswith(".step")]
        assert counts == [1] * len(one.parameters)
        assert not any(torch.equal(a, b) for a, b in zip(before, one.parameters, strict=True))

    def test_the_first_bad_step_is_named_and_later_steps_go_on(self):
        one, calls = trainer(), []
        original = one.step

        def poisoned(images, rng, *rest):
            calls.append(rng[1].item())
            if len(calls) != 2:
                return original(images, rng, *rest)
            bias = one.model.to_posterior.bias.data
            bias[4], kept = math.nan, bias[4].clone()  # columns: 3 directions, kappa, 2 means, ...
            trace = original(images, rng, *rest)
            bias[4] = kept
            return trace

        one.step = poisoned
        with pytest.raises(NotFinite) as error:
            one.epoch(digits().train, 7)
        assert calls == [0, 1, 2]
        assert (error.value.epoch, error.value.step) == (7, 1)
        assert error.value.shell == "2 of 2 (e2)"
        assert all(parameter.isfinite().all() for parameter in one.parameters)


class TestWork:
    @pytest.mark.parametrize("device", exact.DEVICES)
    @pytest.mark.parametrize(
        ("kappa_grad", "samples", "most"), [("implicit", 1, 64), ("reinforce", 3, 104)]
    )
    def test_a_step_reads_nothing_from_the_device_and_has_few_ops(
        self, device, kappa_grad, samples, most
    ):
        """What a read would dispatch does not occur, and 40 shells take the ops that 3 take."""

        class Recorder(TorchDispatchMode):
            def __torch_dispatch__(self, function, types, arguments=(), options=None):
                names.append(function.overloadpacket.__name__)
                return function(*arguments, **(options or {}))

        recorded = []
        for shells in ("3,4,5", ",".join(["2"] * 40)):
            names = []
            model = few.vae(shells, kappa_grad=kappa_grad).to(device)
            one = Trainer(model, 1e-3, samples=samples)
            images = digits().train[:50].to(device)
            rng = random.stream(0, "train", device=device)
            weight = torch.ones(len(model.latent.components), device=device)
            skipped = torch.zeros((), device=device)
            with Recorder():
                one.step(images, rng, weight, skipped)
            recorded.append(names)
        assert recorded[0] == recorded[1]
        names = recorded[0]
        assert {"addmm", "sample", "sample_backward", "bernoulli", "_fused_adam_"} <= set(names)
        assert not {"_local_scalar_dense", "nonzero", "equal", "is_nonzero"} & set(names)
        assert names.count("sample") == names.count("sample_backward") == 1
        views = {"t", "transpose", "view", "_unsafe_view", "split_with_sizes", "detach", "expand"}
        assert len([name for name in names if name not in views]) <= most


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("each", [1, 2, 3, 64])
def test_traces_are_joined_in_the_order_of_their_steps(monkeypatch, each, learned):
    monkeypatch.setattr(steps, "_JOINED", each)
    traces = steps.Traces()
    for number, rows in enumerate((4, 4, 4, 4, 2)):
        one = torch.full((rows,), float(number))
        columns = (one[:, None].expand(-1, 2), one[:, None], one[:, None].expand(-1, 3))
        traces.add(
            steps.Trace(one, *columns, torch.full((3,), float(number)), one if learned else None)
        )
    whole = traces.whole()
    expected = torch.tensor([0.0, 1, 2, 3]).repeat_interleave(4).tolist() + [4.0, 4.0]
    assert whole.log_likelihood.tolist() == whole.concentration[:, 0].tolist() == expected
    assert whole.kl.shape == (18, 2) and whole.raw.shape == (18, 3)
    assert whole.raw_gradient[:, 1].tolist() == [0, 1, 2, 3, 4]
    assert (whole.log_ratio.tolist() == expected) if learned else (whole.log_ratio is None)


@pytest.mark.parametrize("each", [1, 2, 64])
def test_a_step_that_is_not_finite_is_found_among_joined_ones(monkeypatch, each):
    """The third of three: its raw parameters alone are not finite, of the second component."""
    monkeypatch.setattr(steps, "_JOINED", each)
    made = trainer(batch_size=10)
    original = made.model.posterior
    seen = []

    def spoiled(x):
        posterior = original(x)
        seen.append(len(x))
        if len(seen) < 3:
            return posterior
        column = int((made.model.latent.raw_owner == 1).nonzero()[0])
        raw = posterior.raw.clone()
        raw[0, column] = float("inf")
        return made.model.latent.posterior(raw)

    monkeypatch.setattr(made.model, "posterior", spoiled)
    with pytest.raises(NotFinite, match=r"epoch 1, step 2, shell 2 of 2 \(e2\)"):
        made.epoch(digits().train[:30], 1)
