"""The examples of the docstrings and of docs/distributions.md, and the reports of its numbers."""

import doctest
import importlib
import json
import pathlib
import pkgutil
import textwrap

import exact
import torch

from hvae import distributions
from hvae.benchmarks.reports import accuracy, failures


def test_examples():
    """Of the docstrings, and the one of docs/distributions.md."""
    names = [module.name for module in pkgutil.iter_modules(distributions.__path__)]
    modules = [importlib.import_module(f"{distributions.__name__}.{name}") for name in names]
    with torch.device("cpu"):
        results = [doctest.testmod(module) for module in modules]
        assert sum(result.failed for result in results) == 0
        assert sum(result.attempted > 0 for result in results) == 7  # modules with examples
        text = (pathlib.Path(__file__).parents[2] / "docs" / "distributions.md").read_text()
        _, start, rest = text.partition("    import torch\n")
        example, _, _ = rest.partition("\n\nA concentration of 0")
        names = {}
        exec(textwrap.dedent(start + example), names)
        assert names["z"].shape == (10, 64, 11) and names["kappa"].grad.isfinite().all()


def test_accuracy_report():
    """The report "accuracy": every bar is met, no value is lost."""
    seen = set()
    for quantity, dtype, points, bar, ours, theirs in accuracy.compare(exact.TABLES):
        assert points > 2000 and ours.error <= bar and ours.lost == 0, (quantity, dtype, ours)
        assert theirs.lost > 0, "SciPy's ive no longer underflows: say so in docs/distributions.md"
        seen.add((quantity, dtype))
    assert len(seen) == 20


def test_failures_report(monkeypatch, capsys):
    """The report "failures": the numbers of docs/distributions.md, on hvae's side."""
    monkeypatch.setattr(failures, "DRAWS", 2000)
    with torch.device("cpu"):
        failures.main([])
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    for row in document["gradient_in_kappa"]:
        assert abs(row["hvae"] - 1) < 5 * row["standard error"]
        assert row["usual"] < 1.1
    for name, bar in (
        ("reflection_near_an_axis", 1e-6),
        ("log_density_in_float32", 1e-5),
        ("closed_form_on_the_sphere", 1e-6),
        ("divergence_to_uniform", 1e-13),
        ("divergence_of_near_concentrations", 1e-13),
    ):
        assert all(row["hvae"] <= bar for row in document[name]), name
    assert document["reflection_near_an_axis"][0]["plain"] is None
    assert document["log_density_in_float32"][-1]["usual"] > 1
    assert document["closed_form_on_the_sphere"][-1]["usual"] is None
    assert document["divergence_of_near_concentrations"][-1]["usual"] > 1
    assert all(row["hvae at 0"] == 0 for row in document["angles_in_float32"])
