"""Runs of one setting, which differ by their seed alone."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hvae.errors import Refused
from hvae.runs import TrainConfig
from hvae.studies.finished import FinishedRun

SEED = "seed"
# Where a run was computed and where its data lay: no figure depends on them but by rounding.
WITHOUT_EFFECT = (
    *("schema", "device", "threads", "products", "data_dir", "checkpoint_every", "data"),
)


@dataclass(frozen=True)
class Group:
    """The runs of one setting.

    Attributes:
        settings: every setting but those of `SEED` and `WITHOUT_EFFECT`, and the data's checksum.
        runs: one a seed, by seed: where a seed was run more than once, the one that ended last.
        left_out: the others.
        samples: the largest number of importance samples with which every run that has an
            evaluation was evaluated; None where none has.
    """

    settings: dict[str, Any]
    runs: tuple[FinishedRun, ...]
    left_out: tuple[FinishedRun, ...]
    samples: int | None

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        """Of the runs that have one, with `samples`."""
        found = (self.evaluation(run) for run in self.runs)
        return [evaluation for evaluation in found if evaluation is not None]

    def evaluation(self, run: FinishedRun) -> dict[str, Any] | None:
        """The evaluation of one of the runs, with `samples`."""
        return None if self.samples is None else run.evaluations.get(self.samples)

    def kept(self, run: FinishedRun) -> FinishedRun:
        """The run that counts for the seed of a run."""
        return next(one for one in self.runs if one.config.seed == run.config.seed)


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """What two configurations have in common that differ by their seed alone, JSON."""
    document = config.to_json()
    return {name: value for name, value in document.items() if name not in (SEED, *WITHOUT_EFFECT)}


def _setting(run: FinishedRun) -> dict[str, Any]:
    """With the data that there were."""
    return {**settings_of(run.config), "data_checksum": run.result["data_checksum"]}


def grouped(found: Iterable[FinishedRun]) -> list[Group]:
    """The groups in the order of their first runs.

    Raises:
        Refused: the evaluations of a group have no number of importance samples in common.
    """
    members: dict[str, list[FinishedRun]] = defaultdict(list)
    for run in found:
        members[json.dumps(_setting(run), sort_keys=True)].append(run)
    return [_group(runs) for runs in members.values()]


def differing(groups: Sequence[Group]) -> list[str]:
    """The settings that are not the same in all groups, in the order of the configuration."""
    names = dict.fromkeys(name for group in groups for name in group.settings)
    values = {name: {json.dumps(group.settings.get(name)) for group in groups} for name in names}
    return [name for name, different in values.items() if len(different) > 1]


def _group(members: Sequence[FinishedRun]) -> Group:
    by_age = sorted(members, key=lambda run: str(run.result.get("finished", "")))
    newest = {run.config.seed: run for run in by_age}
    kept = tuple(newest[seed] for seed in sorted(newest))
    left_out = tuple(run for run in members if newest[run.config.seed] is not run)
    return Group(_setting(members[0]), kept, left_out, _samples(kept))


def _samples(kept: Sequence[FinishedRun]) -> int | None:
    evaluated = [run for run in kept if run.evaluations]
    if not evaluated:
        return None
    common = set.intersection(*(set(run.evaluations) for run in evaluated))
    if not common:
        where = ", ".join(f"{run.path} ({max(run.evaluations)})" for run in evaluated)
        raise Refused(
            f"importance samples of one setting differ: {where}; allowed: one number for all its "
            "seeds (hvae eval RUN --iw-samples N)"
        )
    return max(common)
