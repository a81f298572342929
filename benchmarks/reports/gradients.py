"""Bias and spread of the gradients in the concentration, shell by shell, on a trained model.

    python -m hvae.benchmarks.reports.gradients RUN [RUN ...] [--images 100] [--draws 2000]

For images of the validation split and every shell of the run's latent space: draws of the gradient
of f(z) = -log p(x | z) in log kappa, by each estimator from the same draws of z.

    mean    over images, of the implicit gradient, which is unbiased; nats a unit of log kappa
    bias    the mean over images of what an estimator has beside that, and its standard error
    share   the factor by which an estimator's mean follows the implicit one from image to image,
            by least squares: 1 where there is no bias
    spread  the standard deviation of one draw, root mean square over images

`reinforce xK` is the mean over K draws with the leave-one-out baseline; its spread is given times
sqrt(K), as that of one draw. The last line is one JSON document.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hvae import data, ops, random
from hvae.errors import Refused
from hvae.latent.reinforce import surrogate
from hvae.latent.sphere import Spheres
from hvae.model import VAE, Terms, loss
from hvae.runs import Run, load_run

from ..harness.settings import Settings
from . import command

GROUP = 8
ESTIMATORS = {
    "implicit": ("implicit", 1),
    "naive": ("naive", 1),
    "reinforce": ("reinforce", 1),
    f"reinforce x{GROUP}": ("reinforce", GROUP),
}
POINTS = 20_000  # draws at once


def gradients(
    model: VAE, images: Tensor, kind: str, samples: int, groups: int, rng: Tensor
) -> Tensor:
    """Estimates [groups, R, shells] of the gradient of f in log kappa, of so many samples each.

    Every estimate is of a row of its own, with concentrations of its own to differentiate by.
    """
    (spheres,) = model.latent.families
    with torch.no_grad():
        posterior = model.latent.posterior(model.posterior(images).raw.repeat(groups, 1))
        (shells,) = posterior.parts
        log_kappa = shells.concentration.log()
    kappa = log_kappa.requires_grad_().exp()
    through = "implicit" if kind == "implicit" else "naive"
    direction = shells.raw_direction
    z, v, _, kl = ops.sample(direction, kappa, spheres.dims, rng, samples, through)
    logits = model.decode(z.flatten(0, 1)).unflatten(0, (samples, len(kappa)))
    likelihood = ops.bernoulli_log_prob(logits, images.repeat(groups, 1))
    score = surrogate(kappa, v, spheres.dims) if kind == "reinforce" else None
    terms = Terms(likelihood, kl, None, score, posterior)
    error = loss(terms, torch.zeros_like(spheres.m)) * len(kappa)
    return torch.autograd.grad(error, log_kappa)[0].unflatten(0, (groups, len(images)))


def estimates(model: VAE, images: Tensor, draws: int) -> dict[str, Tensor]:
    """By estimator, float64 [draws / samples, R, shells]; equal samples share their draws of z."""
    found: dict[str, Tensor] = {}
    for name, (kind, samples) in ESTIMATORS.items():
        parts, groups = [], max(1, POINTS // (samples * len(images)))
        for start in range(0, draws // samples, groups):
            count = min(groups, draws // samples - start)
            rng = random.stream(samples, "user", step=start, device=images.device)
            parts.append(gradients(model, images, kind, samples, count, rng))
        found[name] = torch.cat(parts).double()
    return found


def figures(found: dict[str, Tensor]) -> list[dict[str, Any]]:
    """What the docstring of the module lists, a row for every shell and estimator."""
    rows = []
    for name, draws in found.items():
        columns = {
            "mean": found["implicit"].mean((0, 1)),
            "bias": (draws.mean(0) - found["implicit"].mean(0)).mean(0),
            "stderr": _stderr(found["implicit"], draws),
            "share": _product(found["implicit"], draws) / _product(*[found["implicit"]] * 2),
            "spread": (draws.var(0).mean(0) * ESTIMATORS[name][1]).sqrt(),
        }
        for shell in range(draws.shape[2]):
            values = {key: column[shell].item() for key, column in columns.items()}
            rows.append({"shell": shell + 1, "estimator": name, **values})
    return sorted(rows, key=lambda row: row["shell"])


def _stderr(one: Tensor, other: Tensor) -> Tensor:
    """[shells], of the difference of the means; draw by draw where the draws are the same."""
    if one.shape == other.shape:
        noise = (other - one).var(0) / len(one)
    else:
        noise = one.var(0) / len(one) + other.var(0) / len(other)
    return noise.sum(0).sqrt() / one.shape[1]


def _product(one: Tensor, other: Tensor) -> Tensor:
    """[shells], the sum over images of the product of means.

    Each mean is over the other half of the draws, so that their noise is independent.
    """
    (a, b), (c, d) = ([half.mean(0) for half in x.tensor_split(2)] for x in (one, other))
    return (a * d + b * c).sum(0) / 2


def measure(run: Run, images: int, draws: int) -> dict[str, Any]:
    """The document of one run.

    Raises:
        Refused: its latent space has components that are not shells.
    """
    if any(not isinstance(family, Spheres) for family in run.model.latent.families):
        raise Refused(f"{run.path}: {run.config.shells}; allowed: shells only, which have a kappa")
    validation = data.load(run.config.dataset, recorded=run.config.data_dir).validation[:images]
    return {
        "run": run.path.name,
        "shells": run.config.shells,
        "parameterization": run.config.parameterization,
        "kappa_grad": run.config.kappa_grad,
        "kappa": run.concentration(validation).mean(0).tolist(),
        "images": len(validation),
        "draws": draws,
        "figures": figures(estimates(run.model, validation, draws)),
    }


def _print(document: dict[str, Any]) -> None:
    print(f"\n{document['run']}: {document['shells']}, {document['parameterization']}")
    print(f"{'shell':>5} {'kappa':>8}  {'estimator':14} {'mean':>9} {'bias':>19}   share   spread")
    for row in document["figures"]:
        kappa = document["kappa"][row["shell"] - 1]
        bias = f"{row['bias']:9.4f} +- {row['stderr']:.4f}"
        print(
            f"{row['shell']:5d} {kappa:8.1f}  {row['estimator']:14} {row['mean']:9.4f} {bias:>19} "
            f"{row['share']:7.3f} {row['spread']:8.3f}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    options = command.Options("gradients", "Bias and spread of gradients on trained models.")
    options.add_argument("runs", nargs="+", type=Path, help="folders of runs")
    options.add_argument("--images", type=int, default=100, help="of the validation split")
    options.add_argument("--draws", type=int, default=2000, help="of each image")
    return command.run(options, _report, arguments)


def _report(options: argparse.Namespace) -> None:
    for name, least in (("images", 1), ("draws", 4 * GROUP)):
        if (value := getattr(options, name)) < least:
            raise Refused(f"--{name}: {value} is not allowed; allowed: from {least}")
    Settings.of(threads=1)
    documents = []
    for folder in options.runs:
        documents.append(measure(load_run(folder), options.images, options.draws))
        _print(documents[-1])
    print(json.dumps(documents, allow_nan=False))


if __name__ == "__main__":
    sys.exit(main())
