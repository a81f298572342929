"""Replicas x steps a second, in stacks of several sizes against one run at a time.

    python -m hvae.benchmarks.reports.replicas [--dataset caltech] [--shells 10,10,10,11]

Stacks of 1, 3, 9 and 33 runs, alike but for their seeds, make their steps in turns; the quickest
of three rounds counts. One run alone is trained as `hvae train` does. The last line is one JSON
document.
"""

import argparse
import json
import sys
from collections.abc import Sequence

from hvae import data
from hvae.data import NAMES
from hvae.errors import Refused
from hvae.runs import TrainConfig
from hvae.training.replica_rates import COUNTS, rates

from ..harness.machine import machine, versions
from ..harness.settings import Settings
from . import command


def main(arguments: Sequence[str] | None = None) -> int:
    options = command.Options("replicas", "Measure the training of several runs in one stack.")
    options.add_argument("--dataset", default="digits", help=f"one of {', '.join(NAMES)}")
    options.add_argument("--shells", default=TrainConfig.shells, help="as in hvae train")
    options.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N; default: cpu")
    options.add_argument("--threads", type=int, default=1, help="CPU threads; default: 1")
    options.add_argument("--seconds", type=float, default=10.0, help="for each size; default: 10")
    return command.run(options, _report, arguments)


def _report(options: argparse.Namespace) -> None:
    if not 0 < options.seconds <= 1e6:
        raise Refused(f"--seconds: {options.seconds} is not allowed; allowed: above 0, up to 1e6")
    settings = Settings.of(device=options.device, threads=options.threads)
    config = TrainConfig(
        dataset=options.dataset,
        shells=options.shells,
        device=options.device,
        threads=options.threads,
    )
    where = machine(settings.device)
    found = rates([config], data.load(config.dataset), COUNTS, options.seconds)
    gains = {count: rate / found[1] for count, rate in found.items()}
    for count, rate in found.items():
        alone = "one at a time" if count == 1 else f"{gains[count]:.2f} times one at a time"
        print(f"{count:2d} replicas: {rate:7.1f} replicas x steps/s, {alone}")
    document = {
        "dataset": config.dataset,
        "shells": config.shells,
        "device": options.device,
        "threads": options.threads,
        "machine": where,
        "versions": versions(),
        "replicas_steps_per_second": {str(count): rate for count, rate in found.items()},
        "gain": {str(count): gain for count, gain in gains.items()},
    }
    print(json.dumps(document, allow_nan=False))


if __name__ == "__main__":
    sys.exit(main())
