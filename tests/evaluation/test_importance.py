"""hvae.evaluation: the ELBO and the log-likelihood, against exact marginal likelihoods."""

import math
import subprocess
import sys

import exact
import numpy as np
import pytest
import torch
from few import config, digits
from scipy import special

from hvae import data, evaluation, files, random, runs, training
from hvae.errors import Diverged, EnvironmentProblem, Refused
from hvae.evaluation import evaluate, evaluate_run
from hvae.model import VAE
from hvae.shells import parse


def vae(shells="3,e2", hidden=(16, 12)):
    model = VAE(64, parse(shells), hidden)
    model.initialize(0)
    return model.double()


class OnTheCircle:
    """S^1: nodes on the circle with equal weights, exact for smooth periodic functions."""

    shells, nodes = "2", 20_000

    def grid(self):
        angle = 2 * math.pi * torch.arange(self.nodes, dtype=torch.float64) / self.nodes
        return torch.stack([angle.cos(), angle.sin()], 1), torch.ones(self.nodes) / self.nodes

    def posterior(self, model, head, points):
        """q/p at the points."""
        latent = model.latent
        kappa, mu = latent.concentration(head), latent.location(head)
        log_i0 = kappa + torch.from_numpy(np.log(special.i0e(kappa.numpy())))
        return (kappa * (mu @ points.T) - log_i0).exp()


class OnTheLine:
    """e1: nodes between -12 and 12; the trapezoidal rule of a Gaussian integrand."""

    shells, nodes = "e1", 20_000

    def grid(self):
        points = torch.linspace(-12, 12, self.nodes, dtype=torch.float64)
        weights = (-0.5 * points.square()).exp() / math.sqrt(2 * math.pi)
        return points[:, None], weights * (24 / (self.nodes - 1))

    def posterior(self, model, head, points):
        mean, log_variance = head.split(1, 1)
        z = points.T
        log_q = -0.5 * ((z - mean).square() / log_variance.exp() + log_variance)
        return (log_q + 0.5 * z.square()).exp()


@pytest.mark.parametrize("space", [OnTheCircle(), OnTheLine()], ids=["2", "e1"])
def test_log_likelihood_against_the_exact_marginal(space):
    """log p(x) = log int p(x|z) p(z) dz by quadrature, within five standard errors of the estimate.

    The relative variance of one weight is int (p(x|z)/p(x))^2 p(z) (p/q)(z) dz - 1, by the same
    quadrature; the log of a mean of K weights is off by at most that over K beyond its spread. The
    decoder's kinks (ReLU) leave the quadrature good to 1e-6.
    """
    model, samples = vae(space.shells), 20_000
    with torch.no_grad():  # a latent space that matters: larger weights into and out of it
        model.head.weight.mul_(8)
        model.decoder[0].weight.mul_(4)
        images = digits().test[:6]
        head = model.encode(images)
        points, weights = space.grid()
        logits = model.decode(points)
        target = images.double()
        softplus = torch.nn.functional.softplus(logits).sum(1)
        likelihood = (target @ logits.T - softplus).exp()
        exact = likelihood @ weights.double()
        ratio = (likelihood / exact[:, None]).square() / space.posterior(model, head, points)
        variance = ratio @ weights.double() - 1
    assert (variance > 0.01).any()  # the posterior is not already exact: the weights matter
    block = evaluation._block(model, head, images, 0, samples, 11, 10_000)
    error = (block[:, 0] - exact.log()).abs()
    assert (error < 5 * (variance / samples).sqrt() + variance / samples + 1e-6).all()


def test_means_over_images_and_their_standard_error():
    model, images = vae(), digits().test
    result = evaluate(model, images, 7, seed=3)
    blocks = evaluation._block(model, model.encode(images), images, 0, 7, 3, 10_000).detach()
    ll, log_likelihood, kl = blocks[:, 0], blocks[:, 1], blocks[:, 2:]
    assert result.images == len(images) == 35 and result.iw_samples == 7
    assert result.ll == pytest.approx(ll.mean().item(), rel=1e-13)
    assert result.ll_stderr == pytest.approx(np.std(ll.numpy(), ddof=1) / math.sqrt(35), rel=1e-12)
    assert result.re == pytest.approx(-log_likelihood.mean().item(), rel=1e-13)
    assert result.kl_per_shell == pytest.approx(kl.mean(0).tolist(), rel=1e-13)
    assert result.kl == math.fsum(result.kl_per_shell)
    assert result.elbo == pytest.approx(-(result.re + result.kl), rel=1e-15)


def test_its_parts_are_those_of_the_model():
    """With all draws at once: mean log p(x|z), closed KL, and logsumexp of the log weights."""
    model, images = vae(), digits().test
    result = evaluate(model, images, 9, seed=3)
    with torch.no_grad():
        rng = random.stream(3, "evaluation")
        terms = model.terms(model.encode(images), images, rng, 9, weigh=True)
    ll = (terms.log_likelihood + terms.log_weight).logsumexp(0) - math.log(9)
    assert result.ll == pytest.approx(ll.mean().item(), rel=1e-12)
    assert result.re == pytest.approx(-terms.log_likelihood.mean().item(), rel=1e-12)
    assert result.kl_per_shell == pytest.approx(terms.kl.mean(0).tolist(), rel=1e-12)


@pytest.mark.parametrize(("rows", "bytes_", "batch"), [(1, 1, 1), (4, 2000, 3), (100, 30_000, 8)])
def test_chunks_change_neither_draws_nor_figures(monkeypatch, rows, bytes_, batch):
    """Draws to the bit, figures to the rounding of float64."""
    model, images, drawn = vae(), digits().test, []
    whole = evaluate(model, images, 23, seed=3)
    heads = model.encode(images)
    rng = random.stream(3, "evaluation")
    expected = model.latent.draw(heads, rng, 23).z.detach()
    original = model.latent.draw

    def watched(head, rng, samples, weigh):
        draw = original(head, rng, samples, weigh)
        drawn.append((rng[2].item(), rng[3].item(), draw.z))
        return draw

    monkeypatch.setattr(evaluation, "_ROWS", rows)
    monkeypatch.setitem(evaluation._CHUNK_BYTES, "cpu", bytes_)
    monkeypatch.setattr(model.latent, "draw", watched)
    parts = evaluate(model, images, 23, seed=3)
    assert len(drawn) > 1
    found = torch.full_like(expected, math.nan)
    for row, sample, z in drawn:
        found[sample : sample + z.shape[0], row : row + z.shape[1]] = z
    assert torch.equal(found, expected)
    monkeypatch.setattr(evaluation, "_ENCODER_ROWS", batch)
    for result in (parts, evaluate(model, images, 23, seed=3)):
        assert result.ll == pytest.approx(whole.ll, rel=1e-12)
        assert result.elbo == pytest.approx(whole.elbo, rel=1e-12)
        assert result.kl_per_shell == pytest.approx(whole.kl_per_shell, rel=1e-12)
        assert result.ll_stderr == pytest.approx(whole.ll_stderr, rel=1e-9)


def test_every_image_weighs_the_same(monkeypatch):
    """35 images in batches of 8: the last three weigh as much as any other three."""
    model, images = vae(), digits().validation[:35]
    whole = evaluation.elbo(model, images, 0)
    monkeypatch.setattr(evaluation, "_ENCODER_ROWS", 8)
    parts = evaluation.elbo(model, images, 0)
    for name in ("elbo", "re", "kl", "kl_per_shell", "kappa"):
        assert parts[name] == pytest.approx(whole[name], rel=1e-12)


def test_validation_has_the_same_noise_every_time_and_another_for_another_seed():
    model, images = vae(), digits().validation
    assert evaluation.elbo(model, images, 0) == evaluation.elbo(model, images, 0)
    assert evaluation.elbo(model, images, 0)["re"] != evaluation.elbo(model, images, 1)["re"]


@pytest.mark.parametrize("shells", ["5,5,5,5", "e8", "2,e3"])
def test_the_elbo_is_below_the_log_likelihood(shells):
    """log of a mean is at least the mean of logs; more samples bring the estimate up."""
    model = vae(shells)
    with torch.no_grad():
        model.head.weight.mul_(8)
    few, many = (evaluate(model, digits().test, samples, seed=0) for samples in (2, 400))
    assert many.elbo < few.ll < many.ll


def test_one_image_has_no_standard_error():
    assert evaluate(vae(), digits().test[:1], 3, seed=0).ll_stderr is None


@pytest.mark.parametrize("samples", [0, -5, 2**32])
def test_sample_counts_that_are_refused(samples):
    with pytest.raises(Refused, match="--iw-samples: .* allowed: an integer from 1 to 4294967295"):
        evaluate(vae(), digits().test, samples, seed=0)


def test_images_of_another_size_are_refused():
    with pytest.raises(Refused, match="images of 63 pixels; allowed: 64"):
        evaluate(vae(), digits().test[:, :63], 3, seed=0)


def test_a_model_that_overflows_is_named_and_not_reported():
    model = vae()
    with torch.no_grad():
        model.decoder[-1].bias[0] = math.inf
    with pytest.raises(Diverged, match="image 0 has no finite log-likelihood"):
        evaluate(model, digits().test, 3, seed=0)


@pytest.mark.parametrize("device", exact.DEVICES)
def test_devices_agree(device):
    """The same draws; float64 sums in another order."""
    model, images = vae(), digits().test
    expected = evaluate(model, images, 23, seed=3)
    result = evaluate(model.to(device), images.to(device), 23, seed=3)
    assert result.ll == pytest.approx(expected.ll, rel=1e-11)
    assert result.elbo == pytest.approx(expected.elbo, rel=1e-11)


class TestMemory:
    @pytest.mark.parametrize(
        "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"),
                  RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")],
    )  # fmt: skip
    def test_where_it_is_short_the_chunk_is_halved(self, monkeypatch, error):
        model, images, tried = vae(), digits().test, []
        expected = evaluate(model, images, 23, seed=3)
        original = model.terms

        def short(head, images, rng, samples, weigh):
            tried.append(samples * len(images))
            if tried[-1] > 100:
                raise error
            return original(head, images, rng, samples, weigh)

        monkeypatch.setattr(model, "terms", short)
        result = evaluate(model, images, 23, seed=3)
        assert max(tried) > 100 and result.ll == pytest.approx(expected.ll, rel=1e-12)

    def test_where_nothing_fits_it_is_the_environments(self, monkeypatch):
        model = vae()

        def exhaust(*arguments, **options):
            raise MemoryError

        monkeypatch.setattr(model, "terms", exhaust)
        with pytest.raises(EnvironmentProblem, match="memory: one sample of one image"):
            evaluate(model, digits().test, 23, seed=3)

    def test_other_errors_are_not_hidden(self, monkeypatch):
        model = vae()

        def fail(*arguments, **options):
            raise RuntimeError("a fault of the program")

        monkeypatch.setattr(model, "terms", fail)
        with pytest.raises(RuntimeError, match="a fault of the program"):
            evaluate(model, digits().test, 23, seed=3)

    def test_it_stays_below_a_gibibyte_whatever_the_sample_count(self):
        """60 images of 784 pixels with 8,000 samples: the logits alone would be 1.4 GiB."""
        program = """
import resource, torch
from hvae.evaluation import evaluate
from hvae.model import VAE
from hvae.shells import parse
torch.set_num_threads(1)
model = VAE(784, parse("10,10,10,11"), (32, 16))
model.initialize(0)
images = (torch.arange(60 * 784).reshape(60, 784) % 3 == 0).to(torch.uint8)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
evaluate(model, images[:1], 1, 0)
before = peak()
evaluate(model, images, 8_000, 0)
print(peak() - before)
"""
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        assert int(ran.stdout) < 1 << 20  # KiB


class TestEvaluateRun:
    @pytest.fixture
    def run(self, tmp_path, monkeypatch):
        monkeypatch.setattr(data, "load", lambda name, folder=None, **options: digits())
        training.train(config(seed=4), tmp_path / "run")
        return tmp_path / "run"

    def test_the_document_is_stored_under_its_name(self, run):
        document = evaluate_run(run, samples=5)
        assert document == files.read_json(run / "eval-test-5-4.json")
        assert (document["run"], document["split"], document["images"]) == ("run", "test", 35)
        assert document["data_checksum"] == digits().checksum and document["seconds"] > 0
        model = runs.load_run(run).model
        assert document["ll"] == evaluate(model, digits().test, 5, seed=4).ll

    @pytest.mark.parametrize(("split", "images"), [("validation", 40), ("train", 130)])
    def test_splits_and_seeds(self, run, split, images):
        document = evaluate_run(run, samples=2, split=split, seed=9)
        assert document["images"] == images
        assert (run / f"eval-{split}-2-9.json").exists()

    def test_a_dynamic_train_split_is_binarized(self, run, monkeypatch):
        """Grey levels are no images of the model; those of epoch 0 are evaluated."""

        class Grey(data.Dataset):
            def epoch(self, seed, epoch):
                assert (seed, epoch) == (4, 0)
                return digits().train

        grey = Grey(**{**vars(digits()), "train": digits().train * 200})
        expected = evaluate_run(run, samples=2, split="train")["ll"]
        monkeypatch.setattr(data, "load", lambda *arguments, **options: grey)
        assert evaluate_run(run, samples=2, split="train")["ll"] == expected

    def test_the_seed_changes_the_samples(self, run):
        one, same, other = (evaluate_run(run, samples=3, seed=seed)["ll"] for seed in (1, 1, 2))
        assert one == same != other

    def test_other_data_than_those_of_training_give_a_warning(self, run, monkeypatch):
        other = data.Dataset(**{**vars(digits()), "checksum": "0" * 64})
        monkeypatch.setattr(data, "load", lambda *arguments, **options: other)
        [warning] = evaluate_run(run, samples=2)["warnings"]
        assert "trained on other data" in warning

    @pytest.mark.parametrize(
        ("argument", "message"),
        [
            ({"samples": 0}, "--iw-samples: 0 is not allowed"),
            ({"split": "all"}, "--split: 'all' is not allowed; allowed: test, validation, train"),
            ({"seed": -1}, "--seed: -1 is not allowed"),
            ({"threads": 0}, "--threads: 0 is not allowed"),
            ({"device": "cuda:99"}, "--device: cuda:99"),
            ({"device": "abacus"}, "--device: 'abacus' is not allowed"),
        ],
    )
    def test_refusals_write_nothing(self, run, argument, message):
        before = sorted(run.iterdir())
        with pytest.raises(Refused, match=message):
            evaluate_run(run, **argument)
        assert sorted(run.iterdir()) == before
