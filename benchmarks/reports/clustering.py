"""An iteration of a mixture beside FAISS's spherical k-means, and digits beside KMeans.

    python -m hvae.benchmarks.reports.clustering [--rows 100000] [--threads 2]

Rows of 768 coordinates in float32 around 100 directions. FAISS (the extra `compare`) takes all rows
(max_points_per_centroid); its iteration is the difference of a run of 6 and one of 1, divided
by 5. The three take turns; a ratio is the median over rounds. Then the adjusted Rand index of ten
clusters of scikit-learn's digits, mean and standard deviation over ten starts. The last line is one
JSON document.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import normalize

from hvae import extras, ops, random
from hvae.errors import Refused
from hvae.mixture import VonMisesFisherMixture
from hvae.mixture.fitting import Rules, expected, maximized, seeded
from hvae.mixture.rows import DenseRows

from . import command

WIDTH, COMPONENTS, ROUNDS, STARTS = 768, 100, 7, 10
TARGETS = {"hard": 1.5, "soft": 2.5}


def rows(count: int) -> torch.Tensor:
    """[count, WIDTH], unit vectors around COMPONENTS directions."""
    rng = random.stream(0, "user")
    means = ops.normal(rng, 1, COMPONENTS, WIDTH)[0]
    noise = ops.normal(rng, 1, count, WIDTH, shell=1)[0]
    return torch.nn.functional.normalize(means[torch.arange(count) % COMPONENTS] + 1.5 * noise)


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def iterations(count: int, threads: int) -> dict[str, float]:
    """The median ratios to FAISS's iteration, and its seconds."""
    faiss = extras.require("faiss", "compare")
    faiss.omp_set_num_threads(threads)
    torch.set_num_threads(threads)
    x = rows(count)
    data = DenseRows(x)
    rules = {
        "soft": Rules(hard=False, own=True, equal_weights=False, most=1e8),
        "hard": Rules(hard=True, own=False, equal_weights=True, most=1e8),
    }
    start = seeded(data, COMPONENTS, rules["soft"], torch.Generator().manual_seed(0))

    def kmeans(steps: int) -> None:
        options = {"spherical": True, "max_points_per_centroid": count, "seed": 1}
        faiss.Kmeans(WIDTH, COMPONENTS, niter=steps, **options).train(x.numpy())

    def step(name: str) -> None:
        maximized(*expected(data, start, rules[name]), rules[name])

    found: dict[str, list[float]] = {"faiss": [], **{name: [] for name in rules}}
    for _ in range(ROUNDS):
        unit = (seconds(lambda: kmeans(6)) - seconds(lambda: kmeans(1))) / 5
        found["faiss"].append(unit)
        for name in rules:
            found[name].append(seconds(lambda name=name: step(name)) / unit)
    return {name: statistics.median(values) for name, values in found.items()}


def digits() -> dict[str, tuple[float, float]]:
    """Adjusted Rand indices: mean and standard deviation over the starts."""
    x, labels = load_digits(return_X_y=True)
    spherical = {"assignment": "hard", "concentration": "shared", "weights": "equal"}
    ways: dict[str, Callable[[int], Any]] = {
        "KMeans": lambda seed: KMeans(10, n_init=1, random_state=seed).fit(normalize(x)),
        "spherical k-means": lambda s: VonMisesFisherMixture(10, random_state=s, **spherical).fit(
            x
        ),
        "EM, shared k": lambda s: VonMisesFisherMixture(
            10, concentration="shared", random_state=s
        ).fit(x),
        "EM, own k": lambda s: VonMisesFisherMixture(10, random_state=s).fit(x),
    }
    found = {}
    for name, fit in ways.items():
        scores = [adjusted_rand_score(labels, fit(seed).labels_) for seed in range(STARTS)]
        found[name] = (float(np.mean(scores)), float(np.std(scores)))
    return found


def _report(options: argparse.Namespace) -> None:
    for name, least in (("rows", COMPONENTS), ("threads", 1)):
        if getattr(options, name) < least:
            raise Refused(
                f"--{name}: {getattr(options, name)} is not allowed; allowed: from {least} on"
            )
    ratios = iterations(options.rows, options.threads)
    print(f"FAISS, an iteration   {ratios['faiss'] * 1e3:.0f} ms")
    for name, most in TARGETS.items():
        met = "met" if ratios[name] <= most else "missed"
        print(f"{name:20}  {ratios[name]:.2f} of it, at most {most}: {met}")
    scores = digits()
    for name, (mean, deviation) in scores.items():
        print(f"{name:20}  adjusted Rand index {mean:.3f} +- {deviation:.3f}")
    print(json.dumps({"ratios": ratios, "digits": scores}))


def main(arguments: Sequence[str] | None = None) -> int:
    options = command.Options("clustering", "A mixture beside FAISS and KMeans.")
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--threads", type=int, default=2)
    return command.run(options, _report, arguments)


if __name__ == "__main__":
    sys.exit(main())
