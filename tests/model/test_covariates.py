"""Covariates: given to the encoder and to the decoder, and no part of what is modelled."""

import math

import pytest
import torch

from hvae import random
from hvae.description import DataDescription, Kind
from hvae.evaluation.importance import evaluate
from hvae.latent import Product, parse
from hvae.model import LIKELIHOODS, NETWORKS, VAE

NAMES = ("batch=a", "batch=b", "sex=f")


def model(network="mlp", likelihood="gaussian", covariates=NAMES, kind=Kind.REAL):
    data = DataDescription((2, 3), kind, covariates, maxima=(9,) * 6)
    latent, one = Product(parse("3,e2")), LIKELIHOODS[likelihood](data)
    size = latent.size + len(covariates)
    hidden = (4, 8) if network == "conv" else (8, 6)
    built = NETWORKS[network].build(one.seen, size, one.outputs, hidden)
    vae = VAE(latent, built, one)
    vae.initialize(0)
    return vae


def rows(count=5, kind=Kind.REAL):
    generator = torch.Generator().manual_seed(0)
    data = torch.randint(0, 10, (count, 6), generator=generator).float()
    one_hot = torch.tensor([[1.0, 0, 0], [0, 1, 1]])[torch.arange(count) % 2]
    return torch.cat([data, one_hot], 1)


def changed(x):
    """The same data with the other covariates."""
    other = torch.tensor([[0.0, 1, 1], [1, 0, 0]])[torch.arange(len(x)) % 2]
    return torch.cat([x[:, :6], other], 1)


def test_a_row_is_split():
    x = rows()
    data, covariates = model().split(x)
    assert torch.equal(data, x[:, :6]) and torch.equal(covariates, x[:, 6:])
    data, covariates = model(covariates=()).split(x[:, :6])
    assert torch.equal(data, x[:, :6]) and covariates is None


@pytest.mark.parametrize("network", list(NETWORKS.own))
def test_they_reach_encoder_and_decoder(network):
    vae, x = model(network), rows()
    raw = vae.posterior(x).raw
    assert (raw != vae.posterior(changed(x)).raw).any(1).all()
    z = vae.latent.prior.sample(random.stream(0, "prior"), 1, 5)[0]
    parameters = vae.decode(z, x[:, 6:])
    assert (parameters != vae.decode(z, changed(x)[:, 6:])).any(1).all()
    assert torch.equal(vae.decode(z), vae.decode(z, torch.zeros(5, 3)))


@pytest.mark.parametrize("likelihood", ["gaussian", "poisson", "negative-binomial", "categorical"])
def test_the_likelihood_is_of_the_data_alone(likelihood):
    kind = Kind.REAL if likelihood == "gaussian" else Kind.COUNTS
    vae, x = model(likelihood=likelihood, kind=kind), rows()
    vae.likelihood.observe(x)
    alone = model(likelihood=likelihood, kind=kind, covariates=()).likelihood
    alone.observe(x[:, :6])
    rng = random.stream(0, "user")
    terms = vae.terms(x, rng, 3)
    parameters = vae.decode(vae.posterior(x).draw(rng, 3).z, x[:, 6:])
    assert torch.equal(terms.log_likelihood, alone.log_prob(parameters, x[:, :6]))


def test_the_encoder_sees_them_behind_what_the_likelihood_makes_of_the_data():
    vae, x, seen = model(), rows(), []
    vae.likelihood.observe(x)
    vae.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    vae.posterior(x)
    expected = torch.cat([vae.likelihood.encoder_input(x[:, :6]), x[:, 6:]], 1)
    assert torch.equal(seen[0], expected)


def test_rows_may_be_bytes():
    vae, x = model("mlp", "negative-binomial", kind=Kind.COUNTS), rows()
    rng = random.stream(0, "user")
    one, other = vae.terms(x, rng, 2), vae.terms(x.byte(), rng, 2)
    assert torch.equal(one.log_likelihood, other.log_likelihood) and torch.equal(one.kl, other.kl)


@pytest.mark.parametrize("shape", [(), (4,), (3, 4), (0,)])
def test_points_of_any_leading_shape(shape):
    """One covariate for all, or one a point."""
    vae = model()
    z = torch.randn(*shape, 5, generator=torch.Generator().manual_seed(0))
    one = torch.tensor([0, 1, 1], dtype=torch.uint8)
    parameters = vae.decode(z, one)
    assert parameters.shape == (*shape, 6)
    assert torch.equal(parameters, vae.decode(z, one.float().expand(*shape, 3)))


def test_without_any_the_decoder_sees_the_point_alone():
    vae, seen = model(covariates=()), []
    vae.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    z = vae.latent.prior.sample(random.stream(0, "prior"), 1, 5)[0]
    vae.decode(z)
    assert torch.equal(seen[0], vae.latent.to_decoder(z))


@pytest.mark.parametrize("likelihood", ["gaussian", "negative-binomial"])
def test_importance_sampling_is_a_loop_over_rows_and_samples(likelihood, monkeypatch):
    """Of chunks of three points. In float64 sums of terms below 1e4, in another order."""
    kind = Kind.REAL if likelihood == "gaussian" else Kind.COUNTS
    vae, x, samples = model(likelihood=likelihood, kind=kind).double(), rows().double(), 7
    vae.likelihood.observe(x)
    lls = []
    with torch.inference_mode():
        for i, row in enumerate(x):
            posterior = vae.posterior(row[None])
            weights = []
            for k in range(samples):
                rng = random.stream(3, "evaluation", row=i, sample=k)
                z, _, log_weight, *_ = posterior.draw(rng, 1, with_log_weights=True)
                seen = torch.cat([vae.latent.to_decoder(z)[0], row[None, 6:]], 1)
                log_p = vae.likelihood.log_prob(vae.decoder(seen)[None], row[None, :6])
                weights.append(log_p + log_weight)
            lls.append(torch.cat(weights).logsumexp(0) - math.log(samples))
    expected = torch.cat(lls).mean().item()
    monkeypatch.setattr("hvae.evaluation.importance._CHUNK_BYTES", {"cpu": 3000})
    assert evaluate(vae, x, samples, 3).ll == pytest.approx(expected, abs=1e4 * 64 * 2.0**-52)
