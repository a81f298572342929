"""Settings from a file that a user wrote, or from the config.json of a run."""

import os
from collections.abc import Mapping
from pathlib import Path

import yaml

from hvae import files
from hvae.errors import EnvironmentProblem, Refused
from hvae.runs import schema

_LARGEST = 1 << 20  # bytes; every setting there is fits in a thousandth of it


def read_settings(path: str | os.PathLike[str], allowed: tuple[str, ...]) -> dict[str, object]:
    """The settings in a YAML file; JSON is YAML too, so a run's config.json is one.

    Args:
        path: of the file: a mapping from the names of settings to their values. A name may have
            hyphens for underscores. A value of null is that of a setting which is not given. A
            file with a schema number is read as `hvae.runs.schema` says. A checksum in it is not
            compared: one may edit a copy.
        allowed: the names that may be there.

    Returns:
        the values by name, as the file has them.

    Raises:
        Refused: it is no such file, or has an unknown name.
        EnvironmentProblem: it cannot be read.
    """
    document = _parsed(Path(path))
    if not isinstance(document, Mapping) or not all(isinstance(name, str) for name in document):
        raise Refused(f"{path} is not a file of settings; allowed: lines such as `epochs: 100`")
    if schema.KEY in document:
        document = schema.settings({k: v for k, v in document.items() if k != files.SEAL})
    given = {name.replace("-", "_"): value for name, value in document.items()}
    unknown = ", ".join(name for name in given if name not in allowed)
    if unknown:
        raise Refused(f"{path}: unknown: {unknown[:200]}; allowed: {', '.join(allowed)}")
    if len(given) < len(document):
        raise Refused(f"{path}: a setting is there with hyphens and with underscores")
    return {name: value for name, value in given.items() if value is not None}


def _parsed(path: Path) -> object:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise EnvironmentProblem(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > _LARGEST:
        raise Refused(f"{path} is no file of settings; allowed: at most {_LARGEST} bytes")
    try:
        return yaml.safe_load(content.decode())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise Refused(f"{path} is not YAML{where}; allowed: lines such as `epochs: 100`") from error
