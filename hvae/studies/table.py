"""Runs and their evaluations as a table: a row for every setting, over its seeds. Nats.

Runs are of one setting if they differ by nothing but their seed, their device, their threads and
the folder of the data (`hvae.studies.groups`). A column is there for every setting in which rows
differ; what they have in common is said once. A seed counts once: of two runs of one setting and
one seed that which ended last is taken, and the other is named in a note. The evaluation is the one
with the most importance samples that all seeds of a setting have.

Of a study (`hvae.studies.folder`) the rows are those of its plan, also where no run has ended, and
of a setting that validation chooses the chosen values alone. Beside a row stands that of the paper
which is guessed to be the same (`hvae.studies.paper`).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hvae.latent import parse
from hvae.runs import TrainConfig
from hvae.studies import break_ups, paper, selection
from hvae.studies.finished import FIGURES, FinishedRun, find, read
from hvae.studies.folder import PLAN, StudyFolder
from hvae.studies.groups import Group, grouped, settings_of
from hvae.studies.layout import Cell, Sheet, Spread
from hvae.studies.plan import short_shells

_NAMES = {
    "kappa_grad": "gradient",
    "kl_weights": "KL weights",
    "iw_samples": "importance samples",
}
_OWN = ("dataset", "shells")  # which have columns of their own
_FIRST = ("parameterization", "kappa_grad", "kl_weights")  # said even where all are the same
_SAMPLES = "iw_samples"
_HEADS = {"ll": "LL", "elbo": "ELBO", "re": "RE", "kl": "KL"}
_WIDTH = 24  # of a value among the settings
_KINDS = (*break_ups.NAMES, None)


@dataclass(frozen=True)
class Row:
    """A setting with its runs.

    Attributes:
        settings: every setting that decides, by name.
        group: the runs that have ended; None where none has.
        pending: how many planned runs have not ended.
    """

    settings: dict[str, Any]
    group: Group | None
    pending: int = 0

    @property
    def sizes(self) -> tuple[int, ...]:
        """Of the components."""
        return tuple(component.size for component in parse(self.settings["shells"]))

    @property
    def kind(self) -> str | None:
        """Balanced, leveled or unbalanced; None for another space."""
        components = parse(self.settings["shells"])
        return None if any(c.kind for c in components) else break_ups.kind_of(self.sizes)

    @property
    def paper(self) -> paper.PaperRow | None:
        """What stands beside it."""
        if self.kind is None:
            return None
        data = self.settings["dataset"]
        return paper.row(data, sum(self.sizes), len(self.sizes), self.kind)

    @property
    def runs(self) -> tuple[FinishedRun, ...]:
        """That have ended, one a seed."""
        return () if self.group is None else self.group.runs

    @property
    def diverged(self) -> int:
        """Of the runs that have ended."""
        return sum(not run.completed for run in self.runs)

    @property
    def not_evaluated(self) -> int:
        """Of the runs that are complete."""
        group = self.group
        return sum(r.completed and group.evaluation(r) is None for r in self.runs) if group else 0

    def spread(self, figure: str) -> Spread | None:
        """Of "ll", "elbo", "re" or "kl" over the seeds that have it."""
        evaluations = [] if self.group is None else self.group.evaluations
        return Spread(tuple(one[figure] for one in evaluations)) if evaluations else None


@dataclass
class Found:
    """What there is below some folders.

    Attributes:
        rows: by data, number of components and kind of break-up.
        unchosen: runs that ended and are no rows, since validation did not choose their values.
        choices: the documents of chosen.json.
        notes: lines that the figures must not be read without.
    """

    rows: list[Row] = field(default_factory=list)
    unchosen: list[FinishedRun] = field(default_factory=list)
    choices: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def gather(folders: Sequence[Path]) -> Found:
    """The rows of everything below some folders: studies and plain runs.

    Raises:
        Refused: a folder is missing or holds nothing, or a file is damaged.
        EnvironmentProblem: a file cannot be read.
    """
    found = Found()
    studies = sorted({file.parent for folder in folders for file in folder.rglob(PLAN)})
    finished = find(folders, beside=studies)
    pending: list[TrainConfig] = []
    for place in studies:
        more, waiting = _of_study(StudyFolder(place), found)
        finished += more
        pending += waiting
    groups = grouped(finished)
    found.rows = _rows(groups, pending)
    found.notes += [note for group in groups for note in _left_out(group)]
    if any(row.paper is not None for row in found.rows):
        found.notes.append(paper.GUESS)
    return found


def summary(found: Found) -> Sheet:
    """A row a setting: mean and standard deviation over seeds."""
    names, common = _settings(found.rows)
    beside = any(row.paper is not None for row in found.rows)
    columns = ["data", "m", "k", "break-up", "shells", *(_NAMES.get(n, n) for n in names)]
    columns += ["seeds", *_HEADS.values()]
    columns += [f"paper {head}" for head in _HEADS.values()] if beside else []
    return Sheet(
        title=", ".join(f"{_NAMES.get(name, name)} {value}" for name, value in common.items()),
        columns=tuple(columns),
        rows=tuple(_summary_row(row, names, beside) for row in found.rows),
    )


def details(found: Found) -> Sheet:
    """A row a run."""
    names, _ = _settings(found.rows)
    columns = ["data", "shells", *(_NAMES.get(name, name) for name in names), "seed", "LL"]
    columns += ["standard error", "ELBO", "KL of each component", "validation ELBO"]
    columns += ["best epoch", "epochs", "seconds"]
    rows = [
        _detail_row(run, row.group.evaluation(run), row.settings, row.group.samples, names)
        for row in found.rows
        if row.group is not None
        for run in row.group.runs
    ]
    rows += [_detail_row(r, None, settings_of(r.config), None, names) for r in found.unchosen]
    return Sheet("", tuple(columns), tuple(rows))


def choices(found: Found) -> Sheet:
    """A row for every value that validation was to choose from."""
    rows: list[tuple[Cell, ...]] = [
        (
            short_shells(choice["shells"]),
            _pairs(choice["varied"]),
            _pairs(candidate["values"]),
            candidate["completed"],
            candidate["validation_elbo"],
            "chosen" if candidate["values"] == choice["chosen"] else "",
        )
        for document in found.choices
        for choice in document["choices"]
        for candidate in choice["candidates"]
    ]
    heads = ("shells", "settings", "value", "completed runs", "validation ELBO", "")
    return Sheet("What validation chose, before any test figure", heads, tuple(rows))


def document(found: Found) -> dict[str, Any]:
    """Everything as one JSON object: "rows", "runs", "choices" and "notes"."""
    return {
        "rows": [_row_json(row) for row in found.rows],
        "runs": [
            _run_json(run, row.group)
            for row in found.rows
            if row.group is not None
            for run in (*row.group.runs, *row.group.left_out)
        ]
        + [_run_json(run, None) for run in found.unchosen],
        "choices": found.choices,
        "notes": found.notes,
    }


def _of_study(study: StudyFolder, found: Found) -> tuple[list[FinishedRun], list[TrainConfig]]:
    """The runs of a study that are rows: those that have ended, and the settings of the others."""
    plan = study.plan()
    ended = {n: read(study.run(n)) for n in plan.names if study.result(n) is not None}
    pending = [run.config for run in plan.runs if run.name not in ended]
    if not plan.select:
        return list(ended.values()), pending
    what = ", ".join(name.replace("_", "-") for name in plan.select)
    chosen = study.chosen()
    if chosen is None:
        found.unchosen += ended.values()
        found.notes.append(
            f"{study.path}: {what} is not chosen yet: {len(ended)} of {len(plan.runs)} runs have "
            "ended. No test figure is computed before."
        )
        return [], []
    names = selection.chosen_runs(study, chosen)
    found.choices.append(chosen)
    found.unchosen += [run for name, run in ended.items() if name not in names]
    found.notes.append(
        f"{study.path}: {what} was chosen for every composition by the mean validation ELBO over "
        "seeds, before any test figure was computed."
    )
    return [run for name, run in ended.items() if name in names], pending


def _rows(groups: Sequence[Group], pending: Sequence[TrainConfig]) -> list[Row]:
    waiting: dict[str, list[TrainConfig]] = {}
    for config in pending:
        waiting.setdefault(json.dumps(settings_of(config), sort_keys=True), []).append(config)
    rows = [
        Row(group.settings, group, len(waiting.pop(_without_data(group), ()))) for group in groups
    ]
    rows += [Row(settings_of(configs[0]), None, len(configs)) for configs in waiting.values()]
    return sorted(rows, key=_order)


def _without_data(group: Group) -> str:
    return json.dumps(settings_of(group.runs[0].config), sort_keys=True)


def _order(row: Row) -> tuple[Any, ...]:
    return row.settings["dataset"], len(row.sizes), _KINDS.index(row.kind), sum(row.sizes)


def _left_out(group: Group) -> list[str]:
    """A line for each run that does not count."""
    return [
        f"{run.path} is left out: {group.kept(run).path} has its settings and its seed, "
        f"{run.config.seed}, and ended later"
        for run in group.left_out
    ]


def _settings(rows: Sequence[Row]) -> tuple[list[str], dict[str, str]]:
    """Names of the settings in which rows differ; and the main ones in which they do not."""
    shown = [_shown(row) for row in rows]
    names = dict.fromkeys(name for one in shown for name in one if name not in _OWN)
    values = {name: {one.get(name) for one in shown} - {None} for name in names}
    missing = {name for name in names if any(name not in one for one in shown)}
    differing = [
        name
        for name, found in values.items()
        if len(found) > 1 or (name in missing and name not in (_SAMPLES, "data_checksum"))
    ]
    main = (*_FIRST, _SAMPLES)
    common = {n: str(next(iter(values[n]))) for n in main if n in names and n not in differing}
    return [*sorted(differing, key=lambda name: name not in _FIRST)], common


def _shown(row: Row) -> dict[str, str]:
    """Every setting of a row as text."""
    return _texts(row.settings, None if row.group is None else row.group.samples)


def _texts(settings: dict[str, Any], samples: int | None) -> dict[str, str]:
    found = {name: _text(value) for name, value in settings.items()}
    found["kl_weights"] = _weights(settings["kl_weights"])
    return found if samples is None else {**found, _SAMPLES: str(samples)}


def _weights(text: str) -> str:
    """One number where all components have the same."""
    weights = text.split(",")
    return weights[0] if len(set(weights)) == 1 else text


def _text(value: object) -> str:
    if value is None or value == []:
        return "-"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _pairs(values: dict[str, str]) -> str:
    return ", ".join(f"{key.replace('_', '-')} {value}" for key, value in values.items())


def _summary_row(row: Row, names: Sequence[str], beside: bool) -> tuple[Cell, ...]:
    shown = _shown(row)
    figures: list[Cell] = [row.spread(name) for name in FIGURES]
    figures[0] = figures[0] or _without_figures(row)
    printed = row.paper
    own = [None if printed is None else getattr(printed, name) for name in FIGURES]
    return (
        row.settings["dataset"],
        sum(row.sizes),
        len(row.sizes),
        row.kind,
        short_shells(row.settings["shells"]),
        *(_cut(shown.get(name)) for name in names),
        _seeds(row),
        *figures,
        *(own if beside else ()),
    )


def _without_figures(row: Row) -> str:
    """Why a row has none."""
    if not row.runs:
        return "not ended"
    return "diverged" if row.diverged == len(row.runs) else "not evaluated"


def _seeds(row: Row) -> str:
    """How many runs have ended, and how many of them have no figures."""
    lost = {
        "diverged": row.diverged,
        "not evaluated": row.not_evaluated,
        "not ended": row.pending,
    }
    return ", ".join([str(len(row.runs)), *(f"{n} {what}" for what, n in lost.items() if n)])


def _detail_row(
    run: FinishedRun,
    evaluation: dict[str, Any] | None,
    settings: dict[str, Any],
    samples: int | None,
    names: Sequence[str],
) -> tuple[Cell, ...]:
    shown, result = _texts(settings, samples), run.result
    figures: tuple[Cell, ...] = ("not evaluated", None, None, None)
    if evaluation is not None:
        parts = ", ".join(f"{kl:.2f}" for kl in evaluation["kl_per_shell"])
        figures = (evaluation["ll"], evaluation["ll_stderr"], evaluation["elbo"], parts)
    elif not run.completed:
        figures = (f"diverged in epoch {result['diverged'].get('epoch', '-')}", None, None, None)
    seconds = result.get("seconds")
    return (
        run.config.dataset,
        short_shells(run.config.shells),
        *(_cut(shown.get(name)) for name in names),
        run.config.seed,
        *figures,
        (result.get("validation") or {}).get("elbo"),
        result.get("best_epoch") or None,
        result.get("epochs"),
        None if seconds is None else round(seconds),
    )


def _row_json(row: Row) -> dict[str, Any]:
    figures = {}
    for name in FIGURES:
        spread = row.spread(name)
        figures[name] = spread and {
            "mean": spread.mean,
            "deviation": spread.deviation,
            "values": list(spread.values),
        }
    return {
        "data": row.settings["dataset"],
        "shells": row.settings["shells"],
        "size": sum(row.sizes),
        "components": len(row.sizes),
        "break_up": row.kind,
        "settings": row.settings,
        "seeds": [run.config.seed for run in row.runs],
        "diverged": row.diverged,
        "not_evaluated": row.not_evaluated,
        "not_ended": row.pending,
        "iw_samples": None if row.group is None else row.group.samples,
        **figures,
        "paper": None if row.paper is None else asdict(row.paper),
    }


def _run_json(run: FinishedRun, group: Group | None) -> dict[str, Any]:
    left_out = group is not None and run in group.left_out
    return {
        "run": str(run.path),
        "config": run.config.to_json(),
        "result": run.result,
        "evaluation": None if group is None else group.evaluation(run),
        "left_out_for": str(group.kept(run).path) if group is not None and left_out else None,
    }
