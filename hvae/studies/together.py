"""Which runs of a study are trained together, in one stack of replicas."""

import json
from collections.abc import Iterable, Sequence

from hvae.errors import refused_option
from hvae.latent import parse
from hvae.runs import TrainConfig
from hvae.studies.plan import PlannedRun
from hvae.training.replica_rates import best_count
from hvae.training.replicas import OWN

AUTO = "auto"
MOST = 1024
_STACKED = ("mlp", "gated")  # networks that `hvae.training.stack` computes for all at once


def batches(runs: Iterable[PlannedRun], most: int) -> list[tuple[PlannedRun, ...]]:
    """The runs in groups that a stack takes, each of `most` at most, by the order of their first.

    Args:
        runs: in the order of the work.
        most: 1 leaves every run alone.
    """
    found: list[list[PlannedRun]] = []
    open_ones: dict[str, list[PlannedRun]] = {}
    for run in runs:
        key = _in_common(run.config)
        group = None if key is None else open_ones.get(key)
        if group is None or len(group) == most:
            group = []
            found.append(group)
            if key is not None:
                open_ones[key] = group
        group.append(run)
    return [tuple(group) for group in found]


def largest(runs: Sequence[PlannedRun]) -> tuple[PlannedRun, ...]:
    """The most of these runs that fit into one stack."""
    return max(batches(runs, len(runs)), key=len)


def replicas(text: str | None, runs: Sequence[PlannedRun], here: bool) -> int:
    """How many runs to train in one stack.

    On a CPU one by default: at the size of the published data sets a stack gains nothing there
    (docs/sweep.md), and a run that is alone keeps its bits.

    Args:
        text: a number, or `AUTO` for the quickest, by a measurement of some seconds on this
            machine; None for `AUTO` on a GPU and 1 on a CPU.
        runs: of the study.
        here: whether the runs are worked on by this machine, so that it can be measured.

    Raises:
        Refused: it is none of these.
    """
    if text is None:
        text = AUTO if here and runs[0].config.device.startswith("cuda") else "1"
    if text == AUTO and here:
        return best_count([run.config for run in largest(runs)])
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MOST):
        measured = f"{AUTO} (--engine local), " if not here else f"{AUTO}, "
        raise refused_option("replicas", text, f"{measured}or an integer from 1 to {MOST}")
    return int(text)


def _in_common(config: TrainConfig) -> str | None:
    """What the runs of a stack have in common; None for a run that is in no stack."""
    if config.network not in _STACKED:
        return None
    settings = {name: value for name, value in config.deciding().items() if name not in OWN}
    size = sum(component.size for component in parse(config.shells))
    return json.dumps([settings, size], sort_keys=True)
