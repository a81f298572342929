"""The plan of a study: its runs, each with all its settings, and what validation is to choose.

A plan is made once from what a user asks for, and kept in the study's folder. Whoever works on a
run needs its name and nothing else.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hvae.errors import Refused, refused_option
from hvae.evaluation.importance import check_samples
from hvae.runs import TrainConfig
from hvae.runs.checks import is_count, is_text, is_texts
from hvae.studies import grid

SCHEMA = 1
MOST_RUNS = 10_000
_LONGEST = 100  # characters of a run's name
_PLAIN = re.compile(r"[A-Za-z0-9.,=+x_-]+")  # what a name of a file may have everywhere


@dataclass(frozen=True)
class PlannedRun:
    """A run of a study.

    Attributes:
        name: of its folder.
        config: every setting.
        varied: the values of the grid and of what is to be chosen, by key, as typed.
    """

    name: str
    config: TrainConfig
    varied: dict[str, str]


@dataclass(frozen=True)
class Plan:
    """What a study consists of.

    Attributes:
        runs: in the order of the work: every composition with the first seed, then the second.
        samples: importance samples of an evaluation.
        select: the keys whose values are chosen by validation, for every other setting apart.
    """

    runs: tuple[PlannedRun, ...]
    samples: int
    select: tuple[str, ...] = ()

    def run(self, name: str) -> PlannedRun:
        """The run of that name.

        Raises:
            Refused: there is none.
        """
        for run in self.runs:
            if run.name == name:
                return run
        raise Refused(f"{name} is not a run of this study; allowed: {', '.join(self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Of the runs."""
        return tuple(run.name for run in self.runs)

    def joined(self, other: "Plan") -> "Plan":
        """This plan with the runs of another that it lacks.

        Raises:
            Refused: a run of one name has other settings in the other plan, the evaluations differ,
                or one of the two chooses by validation: a choice that was made is not made again.
        """
        if self == other:
            return self
        if self.select or other.select:
            raise Refused(
                "--out: it holds a study that chooses by validation, with other runs; allowed: the "
                "options with which it began, or a new folder"
            )
        if self.samples != other.samples:
            raise refused_option(
                "iw_samples", other.samples, f"{self.samples}, as this study began"
            )
        own = {run.name: run for run in self.runs}
        for run in other.runs:
            if run.name in own and own[run.name].config.deciding() != run.config.deciding():
                raise Refused(f"--out: {_difference(own[run.name].config, run.config)}")
        more = tuple(run for run in other.runs if run.name not in own)
        return replace(self, runs=(*self.runs, *more))

    def to_json(self) -> dict[str, Any]:
        """The JSON object from which `from_json` makes an equal plan."""
        runs = [
            {"name": run.name, "varied": run.varied, "config": run.config.to_json()}
            for run in self.runs
        ]
        return {
            "schema": SCHEMA,
            "samples": self.samples,
            "select": list(self.select),
            "runs": runs,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Plan":
        """The plan that `to_json` wrote.

        Raises:
            Refused: the document is of another schema, or is none of a plan.
        """
        if document.get("schema") != SCHEMA:
            raise Refused(f"a plan of schema {document.get('schema')}; allowed: {SCHEMA}")
        runs, samples, select = (document.get(key) for key in ("runs", "samples", "select"))
        if not (isinstance(runs, list) and is_count(samples) and is_texts(select)):
            raise Refused("damaged: it is not the plan of a study")
        assert isinstance(select, list)
        return cls(tuple(_planned(run) for run in runs), samples, tuple(select))


def plan(
    base: Mapping[str, Any],
    shells: Sequence[str],
    seeds: Sequence[int],
    *,
    varied: Mapping[str, grid.Values] | None = None,
    select: Mapping[str, grid.Values] | None = None,
    samples: int = 500,
) -> Plan:
    """The plan of every composition with every value and every seed.

    Args:
        base: the settings of `TrainConfig` that all runs have; the others have their defaults.
        shells: compositions in the language of `--shells`.
        seeds: of the runs.
        varied: values of other settings by key, each of which is a study of its own.
        select: values by key, of which validation chooses one for every composition.
        samples: importance samples of an evaluation.

    Raises:
        Refused: nothing to do, too much, a setting that is not allowed, or the same key in both.
    """
    varied, select = varied or {}, select or {}
    if twice := sorted(set(varied) & set(select)):
        raise refused_option("select", twice[0], "another key than those of --grid")
    if not shells or not seeds:
        raise Refused("a sweep needs --shells or --table, and --seeds")
    check_samples(samples)
    values = [len(items) for items in (*varied.values(), *select.values())]
    if math.prod([len(shells), len(seeds), *values]) > MOST_RUNS:
        raise Refused(f"more than {MOST_RUNS} runs; allowed: so many in one study")
    runs: dict[str, PlannedRun] = {}
    for run in _runs(base, shells, seeds, varied, select):
        runs.setdefault(json.dumps(run.config.deciding()), run)
    names = [run.name for run in runs.values()]
    unique = (
        run if names.count(run.name) == 1 else replace(run, name=_marked(run.name, run.config))
        for run in runs.values()
    )
    return Plan(tuple(unique), samples, tuple(select))


def _runs(
    base: Mapping[str, Any],
    shells: Sequence[str],
    seeds: Sequence[int],
    varied: Mapping[str, grid.Values],
    select: Mapping[str, grid.Values],
) -> Iterator[PlannedRun]:
    for seed in seeds:
        for composition in shells:
            for outer in grid.points(varied):
                for inner in grid.points(select):
                    own = {**grid.typed("grid", outer), **grid.typed("select", inner)}
                    config = TrainConfig(**{**base, **own, "shells": composition, "seed": seed})
                    point = {**outer, **inner}
                    yield PlannedRun(_name(config, point), config, point)


def _name(config: TrainConfig, point: Mapping[str, str]) -> str:
    """caltech-10,10,10,11-kl_weights=1.5-seed3; what is long or unusual ends in eight digits."""
    parts = [config.dataset, short_shells(config.shells)]
    parts += [f"{key}={value}" for key, value in point.items() if key != "dataset"]
    name = "-".join([*parts, f"seed{config.seed}"])
    if len(name) <= _LONGEST and _PLAIN.fullmatch(name):
        return name
    plain = re.sub(r"[^A-Za-z0-9.,=+x_-]", "_", name)[: _LONGEST - 9]
    return _marked(plain, config)


def _marked(name: str, config: TrainConfig) -> str:
    digest = hashlib.sha256(json.dumps(config.deciding(), sort_keys=True).encode()).hexdigest()
    return f"{name}-{digest[:8]}"


def short_shells(shells: str) -> str:
    """20x2 for twenty circles: neighbours that are equal are counted where that is shorter."""
    found: list[list[Any]] = []
    for item in shells.split(","):
        if found and found[-1][1] == item:
            found[-1][0] += 1
        else:
            found.append([1, item])
    return ",".join(f"{n}x{item}" if n > 4 else ",".join([item] * n) for n, item in found)


def _difference(one: TrainConfig, other: TrainConfig) -> str:
    """Which setting of two is not the same, in words."""
    before, after = one.deciding(), other.deciding()
    name = next(name for name in before if before[name] != after[name])
    return (
        f"it holds a study with other settings: {name.replace('_', '-')} {before[name]}, not "
        f"{after[name]}; allowed: those, or a new folder"
    )


def _planned(document: Any) -> PlannedRun:
    if not isinstance(document, dict) or set(document) != {"name", "varied", "config"}:
        raise Refused("damaged: it is not the plan of a study")
    name, varied, config = document["name"], document["varied"], document["config"]
    texts: Iterable[Any] = [*varied, *varied.values()] if isinstance(varied, dict) else [None]
    if not (is_text(name) and _PLAIN.fullmatch(name) and all(map(is_text, texts))):
        raise Refused("damaged: it is not the plan of a study")
    return PlannedRun(name, TrainConfig.from_json(config), varied)
