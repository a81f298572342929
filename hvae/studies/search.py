"""Find a break-up within a budget: successive halving on the validation ELBO.

Every candidate is trained to the end of the KL warm-up, before which ELBOs do not rank spaces; the
better third goes on to a later epoch, and the better third of those to the end (Jamieson, Talwalkar
2016). Candidates pause and go on as a run that was cut short does, bit for bit. The figure is the
best validation ELBO of an epoch that the protocol may choose (docs/protocol.md). What has the best
one in the end is trained with every seed and evaluated on the test split: it alone.

Halving is synchronous, so that what is found depends on the figures and on nothing else: not on the
engine, the number of workers or the order in which they end. Where no candidates are named they are
drawn from spaces of one size by Optuna, half of them at random and half by its tree-structured
Parzen estimator (Bergstra, Bardenet, Bengio, Kegl 2011) from the figures of the first half. A space
has a number of shells, drawn by its logarithm, and a power by which their sizes rise
(`hvae.studies.break_ups.graded`).

search.json keeps every draw and every halving once it is made, and it is not made again.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hvae.errors import Refused, refused_option
from hvae.extras import require
from hvae.runs import TrainConfig
from hvae.runs.folder import METRICS
from hvae.runs.metrics import read_metrics
from hvae.studies import break_ups
from hvae.studies.engines import Engine
from hvae.studies.folder import SEARCH, StudyFolder
from hvae.studies.leader import Leader, Stage, StudyObserver, leading
from hvae.studies.plan import Plan, PlannedRun, plan
from hvae.studies.sweep import joined, outcome

SCHEMA = 1

_KEPT = 3  # one of so many goes on
_LEAST, _MOST = 2.0, 1000.0  # full runs
_POWER = 3.0  # the largest; 41 in 4 is 2,5,11,23 then
_TRIES = 200  # of drawing a space that is not there yet


@dataclass(frozen=True)
class Search:
    """What is searched for, and at which cost.

    Attributes:
        settings: those of `TrainConfig` that all runs have; the others have their defaults.
        seeds: of the runs of what is found.
        seed: of the candidates: of their training, and of their drawing.
        budget: in full runs, each of `epochs` epochs; what is found is trained beyond it.
        size: ambient, of the spaces that are drawn.
        shells: the candidates; none to draw them.
        samples: importance samples of an evaluation.
    """

    settings: dict[str, Any]
    seeds: tuple[int, ...]
    seed: int = 0
    budget: float = 8.0
    size: int = break_ups.PAPER_SIZE
    shells: tuple[str, ...] = ()
    samples: int = 500

    def __post_init__(self) -> None:
        if not _LEAST <= self.budget <= _MOST:
            raise refused_option("budget", self.budget, f"{_LEAST:g} to {_MOST:g} full runs")
        if not break_ups.LEAST_SIZE <= self.size <= break_ups.MOST_SIZE:
            allowed = f"an integer from {break_ups.LEAST_SIZE} to {break_ups.MOST_SIZE}"
            raise refused_option("size", self.size, allowed)
        if self.shells and len(self.shells) > self.candidates:
            raise refused_option(
                "budget", self.budget, f"more, for {len(self.shells)} candidates: it is enough for "
                f"{self.candidates}"
            )  # fmt: skip
        self.plan(self.shells or (str(self.size),), self.seeds)

    @property
    def config(self) -> TrainConfig:
        """The settings, but for the shells and the seed."""
        return TrainConfig(**{k: v for k, v in self.settings.items() if k != "kl_weights"})

    @property
    def rungs(self) -> tuple[int, ...]:
        """After which epochs candidates are compared: from the end of the warm-up to the last."""
        last = self.config.epochs
        first = max(1, min(self.config.warmup, last))
        return tuple(dict.fromkeys((first, first + (last - first) // 4, last)))

    @property
    def candidates(self) -> int:
        """As many as the budget is enough for, if none stops early."""
        most = math.floor(self.budget * self.config.epochs)
        count = 1
        while self.cost(count + 1) <= most:
            count += 1
        return count

    def cost(self, count: int) -> int:
        """Epochs at most, for so many candidates."""
        left, before, epochs = count, 0, 0
        for rung in self.rungs:
            epochs += left * (rung - before)
            left, before = kept(left), rung
        return epochs

    @property
    def example(self) -> Plan:
        """One run, whose cost says what the budget is."""
        return self.plan([(self.shells or (str(self.size),))[0]], self.seeds[:1])

    def plan(self, shells: Sequence[str], seeds: Sequence[int]) -> Plan:
        """Runs of some spaces."""
        return plan(self.settings, shells, seeds, samples=self.samples)

    def to_json(self) -> dict[str, Any]:
        """The JSON object from which `from_json` makes an equal search."""
        document: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Search":
        """The search that `to_json` wrote.

        Raises:
            Refused: it is none.
        """
        try:
            settings = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in document["settings"].items()
            }
            lists = {name: tuple(document[name]) for name in ("seeds", "shells")}
            return cls(**{**document, **lists, "settings": settings})
        except (TypeError, KeyError, AttributeError) as error:
            raise Refused("damaged: it is not a search") from error


def kept(count: int) -> int:
    """How many of so many candidates go on."""
    return -(-count // _KEPT)


def search(
    wanted: Search,
    folder: str | os.PathLike[str],
    engine: Engine,
    *,
    slots: int | None = None,
    observer: StudyObserver | None = None,
) -> dict[str, Any]:
    """Search, or go on with a search.

    Args:
        wanted: what is searched for; that of the folder, where a search has begun.
        folder, engine, slots, observer: as in `hvae.studies.sweep.sweep`.

    Returns:
        as `sweep`; "chosen" is the content of search.json once the search has ended, None if runs
        failed before.

    Raises:
        Refused: the folder holds another search, or a study; nothing is written.
        EnvironmentProblem: Optuna is not installed; or as in `sweep`.
        Interrupted: as in `sweep`.
    """
    with leading(folder, engine) as study:
        log = _Log(study, wanted)
        leader = Leader(study, engine, slots, observer or StudyObserver())
        candidates = _candidates(log, leader)
        chosen = None if candidates is None else _halved(log, leader, candidates)
        whole = study.plan()
        if chosen is not None:
            whole = joined(study, wanted.plan([chosen], wanted.seeds))
            names = found_runs(study)
            leader.finish(whole, [run for run in whole.runs if run.name in names], Stage())
        return outcome(leader, whole, log.document if chosen is not None else None)


def begun(study: StudyFolder) -> Search | None:
    """The search of a folder; None where there is none.

    Raises:
        Refused: search.json is damaged.
    """
    if not study.searches:
        return None
    try:
        return Search.from_json(study.search().get("search", {}))
    except Refused as error:
        raise Refused(f"{study.path / SEARCH}: {error}") from error


def found_runs(study: StudyFolder) -> set[str]:
    """The names of the runs of what a search has found; none before.

    Raises:
        Refused: search.json is damaged.
    """
    wanted, found = begun(study), study.search().get("found")
    if wanted is None or found is None:
        return set()
    return {run.name for seed in wanted.seeds for run in _of(study.plan(), [found], seed)}


class _Log:
    """search.json."""

    def __init__(self, study: StudyFolder, wanted: Search) -> None:
        self.study, self.wanted = study, wanted
        before = begun(study)
        if (before is None and study.begun) or (before is not None and before != wanted):
            raise Refused(
                f"--out: {study.path} holds another study or search; allowed: the options with "
                "which it began, or a new folder"
            )
        self.document: dict[str, Any] = {
            "schema": SCHEMA,
            "search": wanted.to_json(),
            "drawn": [],
            "halvings": [],
            "found": None,
        }
        if before is not None:
            self.document = study.search()
        else:
            self.save()

    def save(self) -> None:
        self.study.save_search(self.document)


def _candidates(log: _Log, leader: Leader) -> list[PlannedRun] | None:
    """All of them, trained to the first rung; None where one has failed."""
    wanted, drawn = log.wanted, log.document["drawn"]
    whole = None
    for generation in range(1 if wanted.shells else 2):
        if generation == len(drawn):
            drawn.append(list(wanted.shells) or _drawn(log, drawn))
            log.save()
        shells = [one for some in drawn[: generation + 1] for one in some]
        whole = joined(log.study, wanted.plan(shells, [wanted.seed]))
        runs = _of(whole, shells, wanted.seed)
        leader.finish(whole, runs, Stage(evaluate=False, until=wanted.rungs[0]))
        if leader.failed:
            return None
    return runs


def _halved(log: _Log, leader: Leader, candidates: list[PlannedRun]) -> str | None:
    """The space that is found; None where a run has failed."""
    halvings, runs = log.document["halvings"], candidates
    rungs = log.wanted.rungs
    for number, rung in enumerate(rungs):
        stage = Stage(evaluate=False, until=rung if rung < rungs[-1] else None)
        leader.finish(log.study.plan(), runs, stage)
        if leader.failed:
            return None
        if number == len(halvings):
            halvings.append(_halving(log.study, runs, rung, rung == rungs[-1]))
            log.document["found"] = halvings[-1]["kept"][0] if rung == rungs[-1] else None
            log.save()
            leader.observer.halved(halvings[-1])
        runs = [run for run in runs if run.config.shells in halvings[number]["kept"]]
    found = log.document["found"]
    return None if found is None else str(found)


def _halving(
    study: StudyFolder, runs: Sequence[PlannedRun], rung: int, last: bool
) -> dict[str, Any]:
    """Which candidates go on; in the end, the best alone."""
    elbos = {run.config.shells: best_elbo(study, run, rung) for run in runs}
    order = sorted(elbos, key=lambda shells: _rank(elbos[shells]), reverse=True)
    return {
        "epoch": rung,
        "validation_elbo": elbos,
        "kept": order[: 1 if last else kept(len(runs))],
    }


def best_elbo(study: StudyFolder, run: PlannedRun, epoch: int) -> float | None:
    """The best validation ELBO, of an epoch that may be chosen, up to this one; None: it diverged.

    A run that has stopped early keeps its best one.
    """
    result = study.result(run.name)
    if result is not None and result["completed"] is not True:
        return None
    first = max(1, min(run.config.warmup, run.config.epochs))
    lines = read_metrics(study.run(run.name) / METRICS)[first - 1 : epoch]
    return max(float(line["validation"]["elbo"]) for line in lines)


def _rank(elbo: float | None) -> float:
    return -math.inf if elbo is None else elbo


def _of(whole: Plan, shells: Sequence[str], seed: int) -> list[PlannedRun]:
    wanted = {TrainConfig(shells=one).shells for one in shells}
    return [r for r in whole.runs if r.config.shells in wanted and r.config.seed == seed]


def _drawn(log: _Log, before: Sequence[Sequence[str]]) -> list[str]:
    """The next half of the candidates."""
    optuna = require("optuna", extra="search")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    wanted = log.wanted
    half = wanted.candidates // 2
    count = wanted.candidates - half if not before else half
    sampler = optuna.samplers.TPESampler(
        seed=wanted.seed + len(before), n_startup_trials=wanted.candidates - half
    )
    study = optuna.create_study(sampler=sampler, direction="maximize")
    space = {
        "shells": optuna.distributions.IntDistribution(1, wanted.size // 2, log=True),
        "power": optuna.distributions.FloatDistribution(0.0, _POWER),
    }
    known = dict.fromkeys(one for some in before for one in some)
    for place in _places(log, space):
        study.add_trial(optuna.trial.create_trial(**place, distributions=space))
    found: list[str] = []
    for _ in range(_TRIES):
        if len(found) == count:
            break
        trial = study.ask(space)
        sizes = break_ups.graded(wanted.size, trial.params["shells"], trial.params["power"])
        shells = ",".join(map(str, sizes))
        log.document.setdefault("places", {}).setdefault(shells, trial.params)
        if shells not in known:
            known[shells] = None
            found.append(shells)
    return found


def _places(log: _Log, space: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the candidates so far have reached at the first rung, where it did not diverge."""
    wanted, found = log.wanted, []
    for shells in (one for some in log.document["drawn"] for one in some):
        (run,) = _of(log.study.plan(), [shells], wanted.seed)
        elbo = best_elbo(log.study, run, wanted.rungs[0])
        if elbo is not None:
            found.append({"params": log.document["places"][shells], "value": elbo})
    return found
