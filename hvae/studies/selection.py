"""What validation chooses: one value of a setting for every composition, before any test figure.

The figure is the validation ELBO of the best epoch, with the KL weight 1, as in the choice of that
epoch (docs/protocol.md), averaged over seeds. A value with which fewer seeds diverged goes first;
among those the largest mean. The test split is not read before the choice is on the disk, and then
for the chosen values only.
"""

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hvae.errors import Refused
from hvae.studies.folder import CHOSEN, StudyFolder
from hvae.studies.plan import Plan, PlannedRun


@dataclass(frozen=True)
class Candidate:
    """One value of what is chosen, for one composition.

    Attributes:
        values: by key, as typed.
        runs: names, one a seed.
        elbos: validation ELBOs of the runs that completed, nats.
    """

    values: dict[str, str]
    runs: tuple[str, ...]
    elbos: tuple[float, ...]

    @property
    def mean(self) -> float | None:
        """Over seeds; None where every one diverged."""
        return statistics.mean(self.elbos) if self.elbos else None

    @property
    def rank(self) -> tuple[float, ...]:
        """What is larger is better."""
        return (len(self.elbos) - len(self.runs), -1e300 if self.mean is None else self.mean)


@dataclass(frozen=True)
class Choice:
    """Candidates for one composition, the chosen one first."""

    shells: str
    varied: dict[str, str]
    candidates: tuple[Candidate, ...]

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; "chosen" is that of the first candidate."""
        return {
            "shells": self.shells,
            "varied": self.varied,
            "chosen": self.candidates[0].values,
            "runs": list(self.candidates[0].runs),
            "candidates": [
                {
                    "values": candidate.values,
                    "runs": len(candidate.runs),
                    "completed": len(candidate.elbos),
                    "validation_elbo": candidate.mean,
                }
                for candidate in self.candidates
            ],
        }


def choose(folder: StudyFolder, plan: Plan) -> list[Choice]:
    """The choice for every composition, from results that are all there.

    Raises:
        Refused: a run has not ended.
    """
    found = []
    for shells, varied, members in _compositions(plan):
        candidates = [_candidate(folder, plan, runs) for runs in _by_value(plan, members)]
        candidates.sort(key=lambda candidate: candidate.rank, reverse=True)
        found.append(Choice(shells, varied, tuple(candidates)))
    return found


def settled(folder: StudyFolder, plan: Plan) -> dict[str, Any]:
    """The document of chosen.json, which is made once and never again.

    Raises:
        Refused: a run has not ended, or the file is damaged.
        EnvironmentProblem: the disk failed.
    """
    document = folder.chosen()
    if document is None:
        document = {
            "select": list(plan.select),
            "by": "mean validation ELBO over seeds",
            "choices": [choice.to_json() for choice in choose(folder, plan)],
        }
        folder.save_chosen(document)
    return document


def chosen_runs(folder: StudyFolder, document: dict[str, Any]) -> set[str]:
    """The names of the runs whose values were chosen.

    Raises:
        Refused: the document is none of a choice.
    """
    try:
        return {str(name) for choice in document["choices"] for name in choice["runs"]}
    except (KeyError, TypeError) as error:
        raise Refused(f"{folder.path / CHOSEN} is damaged: it is not a choice") from error


def _compositions(plan: Plan) -> Iterator[tuple[str, dict[str, str], list[PlannedRun]]]:
    """Runs that differ by their seed and by what is chosen alone."""
    groups: dict[str, list[PlannedRun]] = {}
    for run in plan.runs:
        groups.setdefault(json.dumps([run.config.shells, _outer(plan, run)]), []).append(run)
    for members in groups.values():
        yield members[0].config.shells, _outer(plan, members[0]), members


def _outer(plan: Plan, run: PlannedRun) -> dict[str, str]:
    return {key: value for key, value in run.varied.items() if key not in plan.select}


def _by_value(plan: Plan, members: list[PlannedRun]) -> Iterator[list[PlannedRun]]:
    groups: dict[str, list[PlannedRun]] = {}
    for run in members:
        values = [run.varied.get(key) for key in plan.select]
        groups.setdefault(json.dumps(values), []).append(run)
    yield from groups.values()


def _candidate(folder: StudyFolder, plan: Plan, runs: list[PlannedRun]) -> Candidate:
    elbos = []
    for run in runs:
        result = folder.result(run.name)
        if result is None:
            raise Refused(f"{folder.run(run.name)} has not ended: nothing can be chosen yet")
        if result["completed"] is True:
            elbos.append(float(result["validation"]["elbo"]))
    values = {key: runs[0].varied[key] for key in plan.select if key in runs[0].varied}
    return Candidate(values, tuple(run.name for run in runs), tuple(elbos))
