"""`load`: find or fetch the files of a set, and arrange what they hold into a `Dataset`."""

import os
from pathlib import Path

import torch

from hvae.data import fetch
from hvae.data.arrange import arrange
from hvae.data.dataset import Dataset
from hvae.data.sources import SOURCES, File, Source
from hvae.data.verification import Content, decode, embedded, sha256
from hvae.errors import EnvironmentProblem, Refused


def load(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    download: bool = True,
    progress: fetch.Progress | None = None,
) -> Dataset:
    """The data set `name`, one of `hvae.data.NAMES`.

    Each file is looked for, plain or .gz, in `data_dir`, else in $HVAE_DATA_DIR, and then in the
    user's cache; what is in neither is downloaded, with `progress(file name, bytes, total bytes or
    None)`, and kept in the cache once verified. A local file that differs from the published one
    loads, with `verified` False and a warning.

    Raises:
        Refused: an unknown name, a folder that is not there, a damaged file, a wrong shape or
            value, or a download that differs from the published file; that one is not kept.
        EnvironmentProblem: the network or the disk failed, or `download` is False and a file is
            missing: the message names the files, their addresses and where to put them.
    """
    if name not in SOURCES:
        raise Refused(f"unknown data set {name!r}; known: {', '.join(SOURCES)}")
    source = SOURCES[name]
    if source.embedded is None:
        contents = _from_files(source, fetch.folders(data_dir), download, progress)
    else:
        contents = [embedded(source)]
    found = {part: array for content in contents for part, array in content.parts.items()}
    parts = {part: found[part] for part in source.parts}
    warnings = tuple(_warning(source, content) for content in contents if content.difference)
    return Dataset(
        name=name,
        image_shape=source.image_shape,
        binarization=source.binarization,
        checksum=sha256(*parts.values()),
        verified=not warnings,
        source=", ".join(content.where for content in contents),
        warnings=warnings,
        **{split: torch.tensor(images) for split, images in arrange(source, parts).items()},
    )


def _from_files(
    source: Source, places: list[Path], download: bool, progress: fetch.Progress | None
) -> list[Content]:
    files = _present(source, places)
    if files is None:
        if not download:
            raise EnvironmentProblem(_how_to_provide(source, places, "downloads are off"))
        files = _downloaded(source, places, progress)
    return [decode(source, file, fetch.read(path), str(path)) for file, path in files]


def _present(source: Source, places: list[Path]) -> list[tuple[File, Path]] | None:
    """The files, with their paths, of the first container that is there whole."""
    for container in source.containers:
        paths = [fetch.find(file, places) for file in container]
        if None not in paths:
            return list(zip(container, paths, strict=True))
    return None


def _downloaded(
    source: Source, places: list[Path], progress: fetch.Progress | None
) -> list[tuple[File, Path]]:
    """The files of the first container whose missing files can be had, now in the cache."""
    fetch.prepare_cache()
    failures: list[Exception] = []
    for container in source.containers:
        try:
            return [(file, _path_of(source, file, places, progress)) for file in container]
        except (fetch.NoNetwork, Refused) as failure:
            failures.append(failure)
    problem = Refused if any(isinstance(f, Refused) for f in failures) else EnvironmentProblem
    why = "; ".join(map(str, failures))
    raise problem(_how_to_provide(source, places, why)) from failures[-1]


def _path_of(
    source: Source, file: File, places: list[Path], progress: fetch.Progress | None
) -> Path:
    """Where `file` is: found, or downloaded, compared with the published one and stored."""
    path = fetch.find(file, places)
    if path is not None:
        return path
    raw = fetch.download(file, progress)
    content = decode(source, file, raw, file.url)
    if content.difference:
        raise Refused(f"{file.url} sent another file than the published one: {content.difference}")
    return fetch.store(file, raw)


def _how_to_provide(source: Source, places: list[Path], why: str) -> str:
    ways = " or ".join(
        ", ".join(f"{file.name} ({file.url})" for file in container)
        for container in source.containers
    )
    return (
        f"{source.name} is not in {' or '.join(map(str, places))}, and no download: {why}; put "
        f"{ways}, plain or .gz, into {places[-1]} or into a folder that data_dir or "
        f"${fetch.DATA_DIR_VARIABLE} names"
    )


def _warning(source: Source, content: Content) -> str:
    return (
        f"{content.where} differs from the published file ({content.difference}): figures from it "
        f"are not results on {source.title}"
    )
