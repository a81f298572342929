"""Runs with scaled shells: they train, are evaluated over all samples, and resume."""

import few
import pytest
import torch

import hvae
from hvae import data
from hvae.errors import Interrupted
from hvae.evaluation import importance
from hvae.evaluation.importance import evaluate
from hvae.evaluation.of_run import evaluate_run
from hvae.latent import SCALE_FRAMES
from hvae.observer import Observer
from hvae.runs import load_run
from hvae.runs.folder import BEST


class Cut(Observer):
    """Ends a run after its second epoch."""

    def epoch(self, line, epochs):
        if line["epoch"] == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("frame", SCALE_FRAMES)
def test_it_trains_resumes_and_is_evaluated(tmp_path, monkeypatch, frame):
    monkeypatch.setattr(data, "load", lambda name, folder=None, **options: few.digits())
    settings = few.config(shells="s3,e2", epochs=4, scale_frame=frame)
    hvae.train(settings, tmp_path / "whole", checkpoint_every=0)
    with pytest.raises(Interrupted):
        hvae.train(settings, tmp_path / "cut", checkpoint_every=0, observer=Cut())
    assert hvae.resume(tmp_path / "cut")["completed"] is True
    whole, cut = ((tmp_path / name / BEST).read_bytes() for name in ("whole", "cut"))
    assert whole == cut
    run = load_run(tmp_path / "cut")
    assert (run.config.shells, run.config.scale_frame) == ("s3,e2", frame)
    document = evaluate_run(tmp_path / "cut", samples=6)
    assert document["shells"] == "s3,e2" and len(document["kl_per_shell"]) == 2


def test_its_divergence_is_the_mean_over_all_samples_of_an_evaluation(monkeypatch):
    """Whatever the chunks: to the rounding of float32."""
    model, images = few.vae("s3,e2"), few.digits().test
    whole = evaluate(model, images, 23, seed=3)
    monkeypatch.setitem(importance._CHUNK_BYTES, "cpu", 30_000)
    parts = evaluate(model, images, 23, seed=3)
    assert parts.kl_per_shell == pytest.approx(whole.kl_per_shell, rel=1e-5)
    assert parts.ll == pytest.approx(whole.ll, rel=1e-6)
    with torch.no_grad():
        rng = hvae.random.stream(3, "evaluation")
        kl = model.terms(images, rng, 23).kl.mean(0)
    assert whole.kl_per_shell == pytest.approx(kl.tolist(), rel=1e-5)
