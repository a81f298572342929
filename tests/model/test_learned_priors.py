"""hvae.model.learned_priors: priors that are trained, in the ELBO, its gradient and the weights."""

import pickle

import few
import pytest
import torch
from few import config, digits

from hvae import HypersphericalVAE, evaluate_run, load_run, random, train
from hvae.evaluation.elbo import elbo, perplexity
from hvae.evaluation.importance import evaluate
from hvae.evaluation.scoring import score
from hvae.model import PRIORS, loss
from hvae.runs.assembly import assemble

LEARNED = [name for name, prior in PRIORS.items() if prior is not None]
ROWS = digits().train[:40]


def model(prior, **settings):
    made = assemble(config(prior=prior, prior_components=9, **settings), digits().description)
    made.initialize(3)
    made.observe(digits().train, 3)
    return made


@pytest.mark.parametrize("prior", LEARNED)
def test_the_elbo_has_r_and_so_have_the_weights(prior):
    made = model(prior)
    rng = random.stream(2, "user")
    terms = made.terms(ROWS, rng, 5, with_log_weights=True)
    with torch.no_grad():
        made.learned_prior, kept = None, made.learned_prior
        plain = made.terms(ROWS, rng, 5, with_log_weights=True)
        made.learned_prior = kept
    z = made.posterior(ROWS).draw(rng, 5).z
    assert plain.log_ratio is None
    assert torch.equal(terms.log_ratio, made.mixture.log_ratio(z))
    assert torch.equal(terms.log_weight, plain.log_weight + terms.log_ratio)
    assert torch.equal(terms.kl, plain.kl)
    weights = torch.tensor([1.5, 1.5])
    expected = loss(plain, weights) - 1.5 * terms.log_ratio.mean()
    assert torch.allclose(loss(terms, weights), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("prior", LEARNED)
def test_every_parameter_of_it_is_trained(prior):
    made = model(prior)
    loss(made.terms(ROWS, random.stream(2, "user"), 2), torch.ones(2)).backward()
    for name, parameter in made.learned_prior.named_parameters():
        assert parameter.grad is not None and (parameter.grad != 0).any(), name


@pytest.mark.parametrize("kappa_grad", ["implicit", "naive", "reinforce"])
def test_reinforce_weighs_r_too(kappa_grad):
    """Its surrogate has the value 0 and the score times minus (log p(x | z) + weight r)."""
    made = model("mixture", kappa_grad=kappa_grad)
    terms = made.terms(ROWS, random.stream(2, "user"), 3)
    value = loss(terms, torch.tensor([2.0, 2.0]))
    gain = (terms.log_likelihood + 2.0 * terms.log_ratio).detach()
    plain = (2.0 * terms.kl.sum(1) - (terms.log_likelihood + 2.0 * terms.log_ratio)).mean()
    assert torch.allclose(value, plain, rtol=1e-5, atol=0)
    if kappa_grad == "reinforce":
        bias = made.to_posterior.bias
        whole = torch.autograd.grad(value, bias, retain_graph=True)[0]
        path = torch.autograd.grad(plain, bias, retain_graph=True)[0]
        surrogate = ((gain.mean(0) - gain) * 1.5 * terms.score).mean()
        score = torch.autograd.grad(surrogate, bias)[0]
        assert torch.allclose(whole, path + score, rtol=1e-3, atol=1e-6)


def test_the_components_of_vamp_are_the_posteriors_of_its_rows():
    made = model("vamp")
    prior = made.learned_prior
    posterior = made.posterior(prior.rows.detach().clamp(0, 1))
    assert torch.allclose(made.mixture.raw, posterior.raw, rtol=1e-5, atol=1e-6)


def test_the_rows_of_vamp_begin_as_training_rows_inside_the_interval():
    rows = model("vamp").learned_prior.rows.detach()
    back = ((rows - 0.05) / 0.9).round(decimals=4)
    train_rows = digits().train.float()
    assert all((train_rows == row).all(1).any() for row in back)
    assert torch.equal(rows, model("vamp").learned_prior.rows)


@pytest.mark.parametrize("prior", LEARNED)
def test_the_weights_of_the_networks_are_those_without_it(prior):
    with_it, without = model(prior).state_dict(), model("uniform").state_dict()
    assert set(with_it) - set(without) == {
        name for name in with_it if name.startswith("learned_prior.")
    }
    assert all(torch.equal(with_it[name], without[name]) for name in without)


def test_the_validation_says_r_and_how_many_components_are_in_use():
    made = model("mixture")
    found = elbo(made, ROWS, 3)
    plain = elbo(model("uniform"), ROWS, 3)
    assert found["elbo"] == pytest.approx(found["r"] - found["re"] - found["kl"], rel=1e-12)
    assert {**plain, "elbo": 0} == {
        **{name: found[name] for name in plain},
        "elbo": 0,
    }
    assert 1 <= found["prior_components"] <= 9


def test_the_perplexity_counts():
    assert perplexity(torch.tensor([3.0, 3.0, 0.0, 3.0])) == pytest.approx(3)
    assert perplexity(torch.tensor([0.0, 5.0])) == 1


@pytest.mark.parametrize("prior", LEARNED)
def test_an_evaluation_says_r_and_the_elbo_with_it(prior):
    made = model(prior)
    found = evaluate(made, ROWS, 7, seed=1)
    assert found.elbo == pytest.approx(found.r - found.re - found.kl, rel=1e-12)
    with torch.no_grad():
        terms = made.terms(ROWS, random.stream(1, "evaluation"), 7, with_log_weights=True)
    ll = (terms.log_likelihood + terms.log_weight).double().logsumexp(0) - torch.tensor(7.0).log()
    assert found.r == pytest.approx(terms.log_ratio.mean().item(), rel=1e-5)
    assert found.ll == pytest.approx(ll.mean().item(), rel=1e-6)
    assert evaluate(model("uniform"), ROWS, 7, seed=1).r is None
    scores = score(made, ROWS, 7, seed=1)
    assert scores.elbo.mean().item() == pytest.approx(found.elbo, rel=1e-12)
    assert scores.ll.mean().item() == pytest.approx(found.ll, rel=1e-12)


def test_the_bound_of_one_sample_is_the_elbo_in_the_mean():
    """E log w = ELBO: r enters both. Within four standard errors of 4,000 samples a row."""
    made = few.vae()
    made.learned_prior = model("mixture").learned_prior
    with torch.no_grad():
        terms = made.terms(ROWS[:1], random.stream(1, "user"), 4000, with_log_weights=True)
    log_w = (terms.log_likelihood + terms.log_weight)[:, 0].double()
    bound = (terms.log_likelihood + terms.log_ratio)[:, 0].double() - terms.kl.sum()
    difference = log_w - bound
    assert abs(difference.mean()) < 4 * difference.std() / 4000**0.5 + 1e-4


@pytest.mark.parametrize("prior", LEARNED)
def test_a_run_trains_evaluates_and_draws_from_it(prior, tmp_path, monkeypatch):
    monkeypatch.setattr("hvae.data.load", lambda name, folder=None, **more: digits())
    result = train(config(prior=prior, prior_components=9), tmp_path / "run")
    assert "r" in result["validation"]
    found = evaluate_run(tmp_path / "run", samples=5)
    assert found["r"] == pytest.approx(found["elbo"] + found["re"] + found["kl"], rel=1e-9)
    run = load_run(tmp_path / "run")
    z = run.prior(6, seed=2)
    rng = random.stream(2, "prior")
    assert torch.equal(z, run.model.mixture.sample(rng, 1, 6)[0])
    assert run.decode(z).shape == (6, 64)


def test_the_estimator_has_it_too():
    rows = digits().train.numpy()
    made = HypersphericalVAE("3", prior="mixture", prior_components=5, epochs=2, warmup=1).fit(rows)
    assert "r" in made.history_[-1]["validation"] and made.sample(4).shape == (4, 64)
    again = pickle.loads(pickle.dumps(made))
    assert (again.score_samples(rows[:5]) == made.score_samples(rows[:5])).all()
