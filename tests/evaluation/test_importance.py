"""hvae.evaluation.importance: the log-likelihood, against exact marginal likelihoods."""

import math
import subprocess
import sys

import few
import numpy as np
import pytest
import torch
from few import digits
from parts import EstimatedGaussian
from scipy import special

import hvae.latent.product
from hvae import random
from hvae.errors import Diverged, EnvironmentProblem, Refused
from hvae.evaluation import importance
from hvae.evaluation.importance import evaluate, point_bytes
from hvae.latent import KINDS, Component, Product, ProductPosterior
from hvae.model import MLP, VAE, Bernoulli
from hvae.observer import Observer


def vae(shells="3,e2"):
    return few.vae(shells).double()


class OnTheCircle:
    """S^1: nodes on the circle with equal weights, exact for smooth periodic functions."""

    shells, nodes = "2", 20_000

    def grid(self):
        angle = 2 * math.pi * torch.arange(self.nodes, dtype=torch.float64) / self.nodes
        return torch.stack([angle.cos(), angle.sin()], 1), torch.ones(self.nodes) / self.nodes

    def ratio(self, posterior, points):
        """q/p at the points."""
        kappa, mu = posterior.concentration, posterior.mode()
        log_i0 = kappa + torch.from_numpy(np.log(special.i0e(kappa.numpy())))
        return (kappa * (mu @ points.T) - log_i0).exp()


class OnTheLine:
    """e1: nodes between -12 and 12; the trapezoidal rule of a Gaussian integrand."""

    shells, nodes = "e1", 20_000

    def grid(self):
        points = torch.linspace(-12, 12, self.nodes, dtype=torch.float64)
        weights = (-0.5 * points.square()).exp() / math.sqrt(2 * math.pi)
        return points[:, None], weights * (24 / (self.nodes - 1))

    def ratio(self, posterior, points):
        mean, log_variance = posterior.raw.split(1, 1)
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
        model.to_posterior.weight.mul_(8)
        model.decoder[0].weight.mul_(4)
        images = digits().test[:6]
        posterior = model.posterior(images)
        points, weights = space.grid()
        logits = model.decode(points)
        target = images.double()
        softplus = torch.nn.functional.softplus(logits).sum(1)
        likelihood = (target @ logits.T - softplus).exp()
        exact = likelihood @ weights.double()
        ratio = (likelihood / exact[:, None]).square() / space.ratio(posterior, points)
        variance = ratio @ weights.double() - 1
    assert (variance > 0.01).any()  # the posterior is not already exact: the weights matter
    block = importance._block(model, posterior, images, 0, samples, 11, 10_000)
    error = (block[:, 0] - exact.log()).abs()
    assert (error < 5 * (variance / samples).sqrt() + variance / samples + 1e-6).all()


def test_means_over_images_and_their_standard_error():
    model, images = vae(), digits().test
    result = evaluate(model, images, 7, seed=3)
    blocks = importance._block(model, model.posterior(images), images, 0, 7, 3, 10_000).detach()
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
        terms = model.terms(images, rng, 9, with_log_weights=True)
    ll = (terms.log_likelihood + terms.log_weight).logsumexp(0) - math.log(9)
    assert result.ll == pytest.approx(ll.mean().item(), rel=1e-12)
    assert result.re == pytest.approx(-terms.log_likelihood.mean().item(), rel=1e-12)
    assert result.kl_per_shell == pytest.approx(terms.kl.mean(0).tolist(), rel=1e-12)


@pytest.mark.parametrize(("rows", "bytes_", "batch"), [(1, 1, 1), (4, 2000, 3), (100, 30_000, 8)])
def test_chunks_change_neither_draws_nor_figures(monkeypatch, rows, bytes_, batch):
    """Draws to the bit, figures to the rounding of float64."""
    model, images, drawn = vae(), digits().test, []
    whole = evaluate(model, images, 23, seed=3)
    rng = random.stream(3, "evaluation")
    expected = model.posterior(images).draw(rng, 23).z.detach()
    original = ProductPosterior.draw

    def watched(posterior, rng, samples, with_log_weights):
        draw = original(posterior, rng, samples, with_log_weights)
        drawn.append((rng[2].item(), rng[3].item(), draw.z))
        return draw

    monkeypatch.setattr(importance, "_ROWS", rows)
    monkeypatch.setitem(importance._CHUNK_BYTES, "cpu", bytes_)
    monkeypatch.setattr(ProductPosterior, "draw", watched)
    parts = evaluate(model, images, 23, seed=3)
    assert len(drawn) > 1
    found = torch.full_like(expected, math.nan)
    for row, sample, z in drawn:
        found[sample : sample + z.shape[0], row : row + z.shape[1]] = z
    assert torch.equal(found, expected)
    monkeypatch.setattr(importance, "_ENCODER_ROWS", batch)
    for result in (parts, evaluate(model, images, 23, seed=3)):
        assert result.ll == pytest.approx(whole.ll, rel=1e-12)
        assert result.elbo == pytest.approx(whole.elbo, rel=1e-12)
        assert result.kl_per_shell == pytest.approx(whole.kl_per_shell, rel=1e-12)
        assert result.ll_stderr == pytest.approx(whole.ll_stderr, rel=1e-9)


@pytest.mark.parametrize("shells", ["5,5,5,5", "e8", "2,e3"])
def test_the_elbo_is_below_the_log_likelihood(shells):
    """log of a mean is at least the mean of logs; more samples bring the estimate up."""
    model = vae(shells)
    with torch.no_grad():
        model.to_posterior.weight.mul_(8)
    few, many = (evaluate(model, digits().test, samples, seed=0) for samples in (2, 400))
    assert many.elbo < few.ll < many.ll


def test_one_image_has_no_standard_error():
    assert evaluate(vae(), digits().test[:1], 3, seed=0).ll_stderr is None


@pytest.mark.parametrize("samples", [0, -5, 2**32])
def test_sample_counts_that_are_refused(samples):
    with pytest.raises(Refused, match="--iw-samples: .* allowed: an integer from 1 to 4294967295"):
        evaluate(vae(), digits().test, samples, seed=0)


def test_images_of_another_size_are_refused():
    with pytest.raises(Refused, match="^rows of 63 numbers; allowed: 64, as the model$"):
        evaluate(vae(), digits().test[:, :63], 3, seed=0)


def test_a_model_that_overflows_is_named_and_not_reported():
    model = vae()
    with torch.no_grad():
        model.decoder[-1].bias[0] = math.inf
    with pytest.raises(Diverged, match="image 0 has no finite log-likelihood"):
        evaluate(model, digits().test, 3, seed=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_a_gpu_agrees_with_the_cpu(where):
    """The same draws, wherever the images are; float64 sums in another order."""
    model, images = vae(), digits().test
    expected = evaluate(model, images, 23, seed=3)
    result = evaluate(model.cuda(), images.to(where), 23, seed=3)
    assert result.ll == pytest.approx(expected.ll, rel=1e-11)
    assert result.elbo == pytest.approx(expected.elbo, rel=1e-11)


@pytest.mark.parametrize(
    ("bytes_", "chunks"),
    [(1 << 30, [23] * 7), (20_000, [*[3] * 7, 2] * 7), (1, [1] * 23 * 35)],
)
def test_an_estimated_kl_is_the_mean_over_all_samples(monkeypatch, bytes_, chunks):
    """Not that of the last chunk, which has fewer of them: that of one draw of all samples."""
    monkeypatch.setattr(hvae.latent.product, "KINDS", {**KINDS, "x": EstimatedGaussian})
    latent = Product([Component("x", 3), Component("", 3), Component("e", 2)])
    likelihood = Bernoulli(digits().description)
    network = MLP.build(likelihood.data, latent.size, likelihood.outputs, (16, 12))
    model = VAE(latent, network, likelihood)
    model.initialize(0)
    model, images, seen = model.double(), digits().test, []
    with torch.no_grad():
        posterior = model.posterior(images)
        whole = posterior.draw(random.stream(3, "evaluation"), 23).kl
    terms = model.terms
    monkeypatch.setattr(
        model, "terms", lambda x, rng, k, **rest: (seen.append(k), terms(x, rng, k, **rest))[1]
    )
    monkeypatch.setattr(importance, "_ROWS", 5)
    monkeypatch.setitem(importance._CHUNK_BYTES, "cpu", bytes_)
    result = evaluate(model, images, 23, seed=3)
    assert seen == chunks
    assert result.kl_per_shell == pytest.approx(whole.mean(0).tolist(), rel=1e-12)
    assert result.elbo == pytest.approx(-(result.re + result.kl), rel=1e-15)


def test_the_model_is_evaluated_as_after_training():
    """In either mode; and it stays in the mode that it was in, with the same running means."""
    model = few.batch_normalized().double()
    images = digits().test
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    training = evaluate(model, images, 5, seed=0)
    assert model.training and all(module.training for module in model.modules())
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert evaluate(model.eval(), images, 5, seed=0) == training
    assert not model.training


def test_what_a_point_takes_counts_what_every_layer_gives():
    """Layers that work in place and views give nothing of their own; see `parts.convolutions`."""
    latent = 2 * 5 + 8 * 2
    assert point_bytes(few.vae()) == 4 * (12 + 16 + 64 + latent)
    given = 20 + 3 * 16 + 3 * 16 + 3 * 16 + 64
    assert point_bytes(few.batch_normalized().eval()) == 4 * (given + latent)
    assert point_bytes(few.batch_normalized().double().eval()) == 8 * (given + latent)


def test_the_observer_hears_of_every_block(monkeypatch):
    class Ear(Observer):
        heard = ()

        def images(self, done, total):
            self.heard += ((done, total),)

    monkeypatch.setattr(importance, "_ROWS", 15)
    ear = Ear()
    evaluate(vae(), digits().test, 2, seed=0, observer=ear)
    assert ear.heard == ((15, 35), (30, 35), (35, 35))


class TestMemory:
    @pytest.mark.parametrize(
        "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"),
                  RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")],
    )  # fmt: skip
    def test_where_it_is_short_the_chunk_is_halved(self, monkeypatch, error):
        model, images, tried = vae(), digits().test, []
        expected = evaluate(model, images, 23, seed=3)
        original = model.terms

        def short(images, rng, samples, **options):
            tried.append(samples * len(images))
            if tried[-1] > 100:
                raise error
            return original(images, rng, samples, **options)

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
from hvae.description import DataDescription, Kind
from hvae.evaluation.importance import evaluate
from hvae.latent import Product, parse
from hvae.model import MLP, VAE, Bernoulli
torch.set_num_threads(1)
latent = Product(parse("10,10,10,11"))
likelihood = Bernoulli(DataDescription((784,), Kind.BINARY))
model = VAE(latent, MLP.build(likelihood.data, latent.size, 784, (32, 16)), likelihood)
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
