"""hvae.evaluation.refinement: posteriors that are fitted to each row."""

import json

import pytest
import torch
from few import config, digits, vae

from hvae import evaluate_run, load_run, train
from hvae.cli import main
from hvae.errors import Refused
from hvae.evaluation.importance import evaluate
from hvae.evaluation.refinement import _ROWS, refine
from hvae.model import PRIORS
from hvae.runs.assembly import assemble

ROWS = digits().test[:12]


def elbo(model, rows, raw):
    return evaluate(model, rows, 50, 1, raw=raw).elbo


@pytest.mark.parametrize("prior", PRIORS)
def test_the_bound_rises_and_the_model_stays(prior):
    model = assemble(config(prior=prior, prior_components=5), digits().description)
    model.initialize(0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        model.decoder[0].weight.mul_(4)  # latent points that matter
        raw = model.posterior(ROWS).raw
        before["decoder.0.weight"] *= 4
    refined = refine(model, ROWS, 40, seed=2)
    assert elbo(model, ROWS, refined) > elbo(model, ROWS, raw) + 0.1
    assert elbo(model, ROWS, raw) == pytest.approx(evaluate(model, ROWS, 50, 1).elbo, rel=1e-6)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert all(parameter.grad is None for parameter in model.parameters())


def test_it_finds_the_posterior_where_the_family_has_it():
    """A decoder that ignores z: the best posterior is the prior, and the gap closes.

    The KL of N(mean, variance) from N(0, 1) falls below 1e-3 nats a coordinate once both are
    within 0.03 of 0 and 1, which 400 steps of 0.05 at first reach from any start within 3.
    """
    model = vae("e2")
    with torch.no_grad():
        model.decoder[0].weight.zero_()
        model.to_posterior.weight.mul_(20)
    assert evaluate(model, ROWS, 5, 1).kl > 0.1
    assert evaluate(model, ROWS, 5, 1, raw=refine(model, ROWS, 400, seed=2)).kl < 2e-3


def test_a_row_has_no_part_in_anothers_steps():
    model = vae().double()
    rows = digits().train[: _ROWS // 2].double()
    whole = refine(model, rows, 5, seed=2)
    assert torch.allclose(refine(model, rows[:7], 5, seed=2), whole[:7], rtol=1e-9, atol=1e-12)


def test_blocks_continue_the_stream(monkeypatch):
    model = vae().double()
    whole = refine(model, ROWS.double(), 3, seed=2)
    monkeypatch.setattr("hvae.evaluation.refinement._ROWS", 5)
    assert torch.allclose(refine(model, ROWS.double(), 3, seed=2), whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("steps", [0, -1, 10**6 + 1])
def test_steps_that_are_not_allowed(steps):
    with pytest.raises(Refused, match="--refine: .* allowed: an integer from 1 to 1000000"):
        refine(vae(), ROWS, steps, 0)


def test_an_evaluation_of_a_run_has_both(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("hvae.data.load", lambda name, folder=None, **more: digits())
    monkeypatch.chdir(tmp_path)
    train(config(seed=4), "run")
    assert main(["eval", "run", "--refine", "3", "--iw-samples", "7", "--quiet", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    kept = json.loads((tmp_path / "run" / "eval-test-7-4-refine3.json").read_text())
    assert shown == {name: value for name, value in kept.items() if name != "sha256"}
    plain = evaluate_run("run", samples=7)
    assert {name: shown[name] for name in ("elbo", "ll", "kl")} == {
        name: plain[name] for name in ("elbo", "ll", "kl")
    }
    model = load_run("run").model
    expected = evaluate(model, digits().test, 7, 4, raw=refine(model, digits().test, 3, 4))
    assert shown["refined"]["steps"] == 3 and shown["refined"]["ll"] == expected.ll
    assert main(["eval", "run", "--refine", "3", "--iw-samples", "7", "--quiet"]) == 0
    assert "refined, 3 steps" in capsys.readouterr().out
    assert main(["eval", "run", "--refine", "-3"]) == 2
