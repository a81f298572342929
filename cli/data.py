"""`hvae data`."""

from collections import Counter
from typing import Any

import click

from hvae import data
from hvae.model.likelihoods import resolved
from hvae.runs import TrainConfig
from hvae.runs.data_of import data_of

from . import _show as show
from ._settings import run_settings

_BLOCK_NUMBERS = 1 << 20


@click.group("data", no_args_is_help=False)
def command() -> None:
    """What data there is: the published sets, and files of your own.

    \b
    hvae data list
    hvae data fetch caltech
    hvae data check cells.h5ad --labels type
    """


_DATA_DIR = click.option("--data-dir", metavar="FOLDER", help="As in train.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
_QUIET = click.option("--quiet", is_flag=True, help="Show no progress.")


@command.command("list")
@_DATA_DIR
@_JSON
def list_sets(data_dir: str | None, as_json: bool) -> None:
    """List the published sets, and where they are here.

    \b
    hvae data list
    hvae data list --data-dir FOLDER --json
    """
    found = {name: data.locate(name, data_dir) for name in data.NAMES}
    if as_json:
        sets = [
            {
                "name": name,
                "here": files is not None,
                "files": list(files or ()),
                "what": data.describe(name),
            }
            for name, files in found.items()
        ]
        show.document({"sets": sets})
        return
    for name, files in found.items():
        click.echo(f"{name:12} {data.describe(name)}")
        click.echo(f"{'':12} {_where(name, files)}")


def _where(name: str, files: tuple[str, ...] | None) -> str:
    if files is None:
        return f"not here; to have it: hvae data fetch {name}"
    return f"here: {', '.join(files) or 'it comes with an installed package'}"


@command.command("fetch")
@click.argument("name")
@_DATA_DIR
@_JSON
@_QUIET
def fetch(name: str, data_dir: str | None, as_json: bool, quiet: bool) -> None:
    """Have the published set NAME here: download what is missing, and say where it is.

    \b
    hvae data fetch caltech
    hvae data fetch static-mnist --data-dir FOLDER --json
    """
    with show.Reporter(quiet) as reporter:
        found = data.load(name, data_dir, progress=reporter.download)
        for warning in found.warnings:
            reporter.warning(warning)
    split = _sizes(found)
    document = {
        "name": found.name,
        "source": found.source,
        "verified": found.verified,
        "checksum": found.checksum,
        "split": split,
        "warnings": list(found.warnings),
    }
    if as_json:
        show.document(document)
        return
    sizes = "/".join(map(str, split.values()))
    click.echo(f"{name}: {sizes} rows, {found.source}")


@command.command("check")
@click.argument("file")
@run_settings(*data.FILE_OPTIONS, "likelihood")
@_JSON
@_QUIET
def check(file: str, as_json: bool, quiet: bool, **settings: Any) -> None:
    """Say what FILE is as data for `hvae train`, and look at every row of it.

    The options are those of train. Nothing is written.

    \b
    hvae data check cells.h5ad --labels type --covariate donor
    hvae data check images/ --likelihood continuous-bernoulli --json
    """
    config = TrainConfig(data=file, **settings)
    found = data_of(config)
    for rows in (found.train, found.validation, found.test):
        size = max(1, _BLOCK_NUMBERS // found.description.width)
        for first in range(0, len(rows), size):
            rows[first : first + size]
    document = _document(config, found)
    if as_json:
        show.document(document)
        return
    click.echo(found.summary)
    for name, count in (document["labels"] or {}).items():
        click.echo(f"  {count:8} {name}")
    click.echo(f"likelihood {document['likelihood']}; identity {found.checksum}")


def _document(config: TrainConfig, found: data.Dataset) -> dict[str, Any]:
    description = found.description
    return {
        "name": found.name,
        "file": config.data,
        "summary": found.summary,
        "rows": sum(_sizes(found).values()),
        "shape": list(description.shape),
        "kind": description.kind.value,
        "likelihood": resolved(config.likelihood, description.kind),
        "covariates": list(description.covariates),
        "labels": _counts(found),
        "split": _sizes(found),
        "checksum": found.checksum,
    }


def _sizes(found: data.Dataset) -> dict[str, int]:
    return {
        "train": len(found.train),
        "validation": len(found.validation),
        "test": len(found.test),
    }


def _counts(found: data.Dataset) -> dict[str, int] | None:
    """How many rows each label has."""
    if found.labels is None or found.label_names is None:
        return None
    counts = Counter(code for part in found.labels.values() for code in part.tolist())
    return {name: counts[code] for code, name in enumerate(found.label_names)}
