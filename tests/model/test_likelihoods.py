"""hvae.model.likelihoods: all of them alike, and with every network."""

import pytest
import torch

from hvae import random
from hvae.description import DataDescription, Kind
from hvae.errors import Refused
from hvae.latent import Product, parse
from hvae.model import LIKELIHOODS, NETWORKS, VAE, Likelihood
from hvae.model.likelihoods import AUTO, DEFAULTS, resolved
from hvae.training.step import Trainer

TAKES = {
    "bernoulli": {Kind.BINARY, Kind.UNIT},
    "continuous-bernoulli": {Kind.BINARY, Kind.UNIT},
    "gaussian": set(Kind),
    "poisson": {Kind.BINARY, Kind.COUNTS},
    "negative-binomial": {Kind.COUNTS},
    "binomial": {Kind.BINARY, Kind.COUNTS},
    "categorical": {Kind.BINARY, Kind.COUNTS},
}
TAKEN = [(name, kind) for name, kinds in TAKES.items() for kind in Kind if kind in kinds]
WITH_PARAMETERS = {"gaussian": ["raw_scale"], "negative-binomial": ["log_dispersion"]}
WITH_BUFFERS = {
    "gaussian": ["center", "spread"],
    "poisson": ["log_mean"],
    "negative-binomial": ["library", "log_share"],
}


def description(kind, largest=300):
    maxima = (largest,) * 16 if kind is Kind.COUNTS else None
    return DataDescription((4, 4), kind, maxima=maxima)


def extreme(kind, largest=300):
    """20 rows [20, 16]: constant columns, rows of zeros, and numbers as large as can be."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(20, 16, generator=generator)
    if kind in (Kind.BINARY, Kind.UNIT):
        x = x.round()
    elif kind is Kind.COUNTS:
        x = (largest * x**8).floor()
        x[3, 5] = largest
    else:
        x = torch.randn(20, 16, generator=generator) * torch.logspace(-30, 30, 16)
        x[4, 7] *= 1e6
    x[:, 2], x[:, 3] = 0, x[0, 5]
    x[7] = 0
    return x


def likelihood_of(name, kind, largest=300):
    one = LIKELIHOODS[name](description(kind, largest))
    if name in WITH_PARAMETERS:
        one.reset_parameters()
    return one


def test_ours():
    assert list(LIKELIHOODS) == list(TAKES)
    assert (LIKELIHOODS.group, LIKELIHOODS.base) == ("hvae.likelihoods", Likelihood)
    for name, likelihood in LIKELIHOODS.own.items():
        assert likelihood.title == name and likelihood.takes == TAKES[name]


def test_what_a_kind_has_by_default():
    found = {kind.value: resolved(AUTO, kind) for kind in Kind}
    assert found == {
        "binary": "bernoulli",
        "unit interval": "bernoulli",
        "real": "gaussian",
        "counts": "negative-binomial",
    }
    assert all(kind in TAKES[name] for kind, name in DEFAULTS.items())
    assert resolved("poisson", Kind.BINARY) == "poisson"


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n in TAKES for k in Kind])
def test_a_kind_is_taken_or_refused_in_one_line(name, kind):
    if kind in TAKES[name]:
        assert likelihood_of(name, kind).data.kind is kind
    else:
        with pytest.raises(Refused) as error:
            likelihood_of(name, kind)
        allowed = ", ".join(sorted(kind.value for kind in TAKES[name]))
        assert str(error.value) == (
            f"--likelihood: {name} does not take {kind.value} data; allowed: {allowed}"
        )


@pytest.mark.parametrize(("name", "kind"), TAKEN)
def test_shapes_and_dtypes(name, kind, dtype):
    """What the decoder gives decides the dtype, whatever that of the rows."""
    one = likelihood_of(name, kind).to(dtype)
    rows = extreme(kind)[:5]
    parameters = torch.zeros(3, 5, one.outputs, dtype=dtype)
    for x in (rows, rows.double(), *([rows.short()] if kind is not Kind.REAL else [])):
        log_prob = one.log_prob(parameters, x)
        assert log_prob.shape == (3, 5) and log_prob.dtype == dtype
        assert one.encoder_input(x).shape == (5, one.seen.size)
    assert one.mean(parameters).shape == (3, 5, 16) and one.mean(parameters).dtype == dtype
    drawn = one.sample(parameters, random.stream(0, "user"))
    assert drawn.shape == (3, 5, 16)


@pytest.mark.parametrize(("name", "kind"), TAKEN)
def test_every_sample_of_a_row_is_scored_by_itself(name, kind):
    one, rows = likelihood_of(name, kind).double(), extreme(kind)[:5].double()
    generator = torch.Generator().manual_seed(0)
    parameters = torch.randn(3, 5, one.outputs, dtype=torch.float64, generator=generator)
    whole = one.log_prob(parameters, rows)
    for k in range(3):
        for i in range(5):
            alone = one.log_prob(parameters[k : k + 1, i : i + 1], rows[i : i + 1])
            torch.testing.assert_close(alone, whole[k : k + 1, i : i + 1], rtol=1e-14, atol=1e-11)


@pytest.mark.parametrize("name", list(TAKES))
def test_what_it_observes_travels_with_the_weights(name):
    kind = next(kind for kind in Kind if kind in TAKES[name])
    kind = Kind.COUNTS if Kind.COUNTS in TAKES[name] else kind
    one, other = likelihood_of(name, kind), likelihood_of(name, kind)
    before = {key: tensor.clone() for key, tensor in one.state_dict().items()}
    one.observe(extreme(kind))
    buffers = WITH_BUFFERS.get(name, [])
    assert sorted(one.state_dict()) == sorted(buffers + WITH_PARAMETERS.get(name, []))
    assert all(not torch.equal(one.state_dict()[key], before[key]) for key in buffers)
    other.load_state_dict(one.state_dict())
    parameters = torch.zeros(1, 20, one.outputs)
    assert torch.equal(
        one.log_prob(parameters, extreme(kind)), other.log_prob(parameters, extreme(kind))
    )
    assert torch.equal(one.mean(parameters), other.mean(parameters))


@pytest.mark.parametrize("network", list(NETWORKS.own))
@pytest.mark.parametrize(("name", "kind"), TAKEN)
def test_every_likelihood_trains_with_every_network(name, kind, network):
    """Three steps on extreme rows: no step is skipped, everything is finite, every weight moves."""
    largest = 300 if name == "categorical" else 1_000_000
    one, rows = likelihood_of(name, kind, largest), extreme(kind, largest)
    hidden = (4, 8) if network == "conv" else (8, 6)
    latent = Product(parse("3,e2"))
    if network == "conv" and name == "categorical":
        with pytest.raises(Refused, match="^--network: conv does not take rows of shape "):
            NETWORKS[network].build(one.seen, latent.size, one.outputs, hidden)
        return
    built = NETWORKS[network].build(one.seen, latent.size, one.outputs, hidden)
    model = VAE(latent, built, one)
    model.initialize(0)
    one.observe(rows)
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    trainer, skipped = Trainer(model, 1e-3, 20), torch.zeros(())
    for step in range(3):
        rng = random.stream(0, "train", step=step)
        trace = trainer.step(rows, rng, trainer.kl_weights, skipped)
        assert trace.log_likelihood.isfinite().all() and skipped == 0
    for key, parameter in model.named_parameters():
        assert parameter.isfinite().all() and not torch.equal(parameter, before[key]), key
