"""What `hvae sweep` prints: one line of progress, a line for every run that ends."""

import shlex
import time
from typing import Any

import click

from hvae.studies.cost import Cost, total
from hvae.studies.engines import Failure
from hvae.studies.layout import Sheet, text
from hvae.studies.plan import Plan
from hvae.studies.standing import Standing
from hvae.studies.sweep import StudyObserver

from . import _show as show

_EVERY = 60.0  # seconds between lines of progress where there is no terminal


class StudyReporter(show.Reporter, StudyObserver):
    """A live bar on a terminal, else a line a minute; a line for every run that ends."""

    def __init__(self, quiet: bool) -> None:
        super().__init__(quiet)
        self._said = 0.0

    def standing(self, standing: Standing) -> None:
        line = _progress(standing)
        self._move("study", "runs", standing.ended, standing.runs, line)
        if not self.live and time.monotonic() - self._said >= _EVERY:
            self._line(line)
            self._said = time.monotonic()

    def run_ended(self, name: str, document: dict[str, Any], standing: Standing) -> None:
        self._line(f"{name} {_outcome(document)}; {_progress(standing)}")
        self._said = time.monotonic()

    def run_failed(self, name: str, failure: Failure, again: bool) -> None:
        what = "it goes on from its last checkpoint" if again else "it is left as it is"
        self.warning(f"{name}: {failure.text}; {what}")

    def chosen(self, document: dict[str, Any]) -> None:
        for choice in document["choices"]:
            best = choice["candidates"][0]
            values = ", ".join(f"{k.replace('_', '-')} {v}" for k, v in choice["chosen"].items())
            self._line(
                f"chosen for {choice['shells']}: {values}, validation ELBO "
                f"{_nats(best['validation_elbo'])}"
            )


def planned(plan: Plan, costs: dict[str, Cost], slots: int | None, as_json: bool) -> None:
    """The plan with its estimated cost."""
    jobs = slots or 1
    if as_json:
        runs = [{"name": n, "seconds": c.seconds, "epoch": c.epoch} for n, c in costs.items()]
        seconds = total(costs, jobs)
        show.document({"runs": runs, "jobs": jobs, "seconds": seconds, "select": list(plan.select)})
        return
    rows = tuple(
        (name, cost.epochs, duration(cost.epoch), duration(cost.evaluation), duration(cost.seconds))
        for name, cost in costs.items()
    )
    heads = ("run", "epochs at most", "an epoch", "evaluation", "at most")
    click.echo("\n".join(text(Sheet("", heads, rows))))
    click.echo(
        f"\n{len(costs)} runs, {jobs} at a time: at most {duration(total(costs, jobs))} on this "
        "machine, by a short trial of every setting; early stopping is not foreseen."
    )
    if plan.select:
        names = ", ".join(name.replace("_", "-") for name in plan.select)
        click.echo(f"Validation chooses {names} for every composition; the others have no test.")


def ended(outcome: dict[str, Any]) -> None:
    """How a study ended, and what to type next."""
    folder = outcome["folder"]
    parts = [f"{outcome['completed']} completed", f"{outcome['diverged']} diverged"]
    parts += [f"{len(outcome['failed'])} failed"] if outcome["failed"] else []
    click.echo(f"{outcome['runs']} runs: {', '.join(parts)}")
    for name, why in outcome["failed"].items():
        click.echo(f"failed  {name}: {why}")
    if outcome["failed"]:
        click.echo(f"next  hvae sweep --resume {shlex.quote(folder)}")
    else:
        click.echo(f"next  hvae table {shlex.quote(folder)}")


def duration(seconds: float) -> str:
    """Two units that people read: 3 d 4 h, 2 h 10 min, 4 min 5 s, 3.1 s."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = round(seconds)
    for size, unit, small, below in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // small} {below}"
    return f"{whole // 60} min {whole % 60} s"


def _progress(standing: Standing) -> str:
    """One line: how many runs have ended, what is under way, how long it will take."""
    parts = [f"{standing.ended} of {standing.runs} runs"]
    parts += [f"{standing.diverged} diverged"] if standing.diverged else []
    parts += [f"{standing.failed} failed"] if standing.failed else []
    parts += [f"{standing.active} under way", f"{standing.epochs} epochs"]
    left = standing.seconds_left
    return ", ".join([*parts, "time left unknown" if left is None else f"{duration(left)} left"])


def _outcome(document: dict[str, Any]) -> str:
    if document["state"] == "diverged":
        where = (document["diverged"] or {}).get("epoch", "-")
        return f"diverged in epoch {where}"
    parts = [f"completed {document['epochs']} epochs"]
    if document["validation_elbo"] is not None:
        parts.append(f"validation ELBO {document['validation_elbo']:.2f}")
    if document["ll"] is not None:
        parts.append(f"LL {document['ll']:.2f}, ELBO {document['elbo']:.2f}")
    return ", ".join(parts)


def _nats(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
