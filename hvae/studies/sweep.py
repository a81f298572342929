"""A study from its plan to its end."""

import os
from typing import Any

from hvae.errors import Refused
from hvae.studies import selection
from hvae.studies.engines import Engine
from hvae.studies.folder import StudyFolder
from hvae.studies.leader import Leader, Stage, StudyObserver, leading
from hvae.studies.plan import Plan


def sweep(
    plan: Plan,
    folder: str | os.PathLike[str],
    engine: Engine,
    *,
    slots: int | None = None,
    observer: StudyObserver | None = None,
    replicas: int = 1,
) -> dict[str, Any]:
    """Bring a study to its end, or further than it was.

    What is done is skipped, and what was cut short goes on, bit for bit. A run that diverges is a
    result. A worker that is lost is told of and replaced; a run that fails in another way, or loses
    three workers in a row without an epoch between, is told of and left.

    Args:
        plan: what the study consists of; a plan that is in the folder already is added to.
        folder: new or empty, or that of a study.
        engine: works on the runs; it is stopped before this returns.
        slots: how many runs the engine has at a time at most; None: all, and it has a queue.
        observer: told of everything.
        replicas: how many runs are trained in one stack at most, where they fit together; the
            figures of each are then those of the run alone up to the order of sums.

    Returns:
        "folder", "runs", "completed", "diverged", "failed" (by name, why), "chosen" or None.

    Raises:
        Refused: the plan does not go with what is in the folder; nothing is written.
        EnvironmentProblem: the disk failed, or another process leads the study.
        Interrupted: SIGINT or SIGTERM; what was under way has kept its last epoch.
    """
    with leading(folder, engine) as study:
        if study.searches:
            raise Refused(f"--out: {study.path} is of a search; allowed: --search, or a new folder")
        whole = joined(study, plan)
        leader = Leader(study, engine, slots, observer or StudyObserver(), replicas)
        leader.finish(whole, whole.runs, Stage(evaluate=not whole.select))
        chosen = _chosen(leader, whole) if whole.select and not leader.failed else None
        return outcome(leader, whole, chosen)


def joined(study: StudyFolder, plan: Plan) -> Plan:
    """The plan with what is in the folder already, which then has both."""
    before = study.plan() if study.begun else None
    whole = plan if before is None else before.joined(plan)
    if whole != before:
        study.save_plan(whole)
    return whole


def outcome(leader: Leader, plan: Plan, chosen: dict[str, Any] | None) -> dict[str, Any]:
    """How a study has ended: what `sweep` returns."""
    results = [leader.study.result(name) for name in plan.names]
    completed = [result for result in results if result and result["completed"] is True]
    diverged = [result for result in results if result and result["completed"] is not True]
    return {
        "folder": str(leader.study.path),
        "runs": len(plan.runs),
        "completed": len(completed),
        "diverged": len(diverged),
        "failed": leader.failed,
        "chosen": chosen,
    }


def _chosen(leader: Leader, plan: Plan) -> dict[str, Any]:
    """Choose, and only then evaluate what was chosen."""
    document = selection.settled(leader.study, plan)
    leader.observer.chosen(document)
    names = selection.chosen_runs(leader.study, document)
    leader.finish(plan, [run for run in plan.runs if run.name in names], Stage())
    return document
