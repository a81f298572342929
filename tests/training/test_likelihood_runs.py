"""Runs with every likelihood: trained, kept, resumed, loaded and evaluated."""

import dataclasses

import pytest
import torch
from few import config, digits

from hvae import data, evaluate_run, load_run, train
from hvae.description import DataDescription, Kind
from hvae.training.resumption import resume

KINDS = {
    "auto": Kind.REAL,
    "continuous-bernoulli": Kind.UNIT,
    "poisson": Kind.COUNTS,
    "negative-binomial": Kind.COUNTS,
    "binomial": Kind.COUNTS,
    "categorical": Kind.COUNTS,
}
COVARIATES = ("light=off", "light=on")


def dressed(kind):
    """The digits as data of a kind, with a covariate: whether the first pixels have ink."""

    def rows(images):
        lit = images[:, :32].sum(1, keepdim=True) > images[:, 32:].sum(1, keepdim=True)
        numbers = images.float() * {Kind.REAL: 2.5, Kind.UNIT: 0.75, Kind.COUNTS: 3}[kind]
        return torch.cat([numbers, ~lit, lit], 1)

    maxima = (3,) * 64 if kind is Kind.COUNTS else None
    description = DataDescription((8, 8), kind, COVARIATES, maxima)
    splits = {name: rows(getattr(digits(), name)) for name in ("train", "validation", "test")}
    return dataclasses.replace(digits(), description=description, **splits)


@pytest.mark.parametrize("likelihood", list(KINDS))
def test_a_run(likelihood, tmp_path, monkeypatch):
    """What the likelihood observed is in the weights; a resumed run ends where a whole one does."""
    dataset = dressed(KINDS[likelihood])
    monkeypatch.setattr(data, "load", lambda *_, **__: dataset)
    settings = config(likelihood=likelihood, epochs=3)
    whole = train(settings, tmp_path / "whole")
    assert whole["completed"]
    run = load_run(tmp_path / "whole")
    assert run.model.likelihood.data == dataset.description
    observed = dict(run.model.likelihood.named_buffers())
    if likelihood == "auto":
        expected = dataset.train[:, :64].double().mean(0).float()
        assert torch.equal(observed["center"], expected)
    found = evaluate_run(tmp_path / "whole", samples=3)
    assert found["ll"] == pytest.approx(found["elbo"], abs=60) and found["ll"] >= found["elbo"] - 20

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(BaseException, match="interrupted"):
        patch.setattr("hvae.runs.folder.RunFolder.save_result", stop)
        train(settings, tmp_path / "cut")
    resume(tmp_path / "cut")
    again = load_run(tmp_path / "cut")
    for name, tensor in run.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name
