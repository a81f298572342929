"""`load`: find or fetch the files of a set, and arrange what they hold into a `Dataset`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from hvae.data import fetch, folders, sources
from hvae.data.arrange import arrange, split
from hvae.data.dataset import Dataset
from hvae.data.folders import Folder, Place
from hvae.data.source import File, Source
from hvae.data.verification import Content, decode, embedded, sha256
from hvae.errors import EnvironmentProblem, Refused


def load(
    name: str,
    data_dir: Folder | None = None,
    *,
    recorded: Folder | None = None,
    download: bool = True,
    progress: fetch.Progress | None = None,
) -> Dataset:
    """The data set `name`, one of `hvae.data.NAMES`.

    Each file is looked for, plain or .gz, in `data_dir`, or without one in $HVAE_DATA_DIR, and then
    in the user's cache. What is in none of them is downloaded, with `progress(file name, bytes,
    total bytes or None)`, and kept in the cache once verified. A local file that differs from the
    published one loads, with `verified` False and a warning. Labels come from the files that have
    them; a file of labels alone is read where it is found, and never downloaded.

    Args:
        name: one of `hvae.data.NAMES`.
        data_dir: a folder that the user names now: it must be there.
        recorded: the folder that a run was trained from. Without `data_dir` it comes before
            $HVAE_DATA_DIR, and either may be gone.
        download: False never asks the network.
        progress: is told how far a download is.

    Raises:
        Refused: an unknown name, a folder that is not there, a damaged file, a wrong shape or
            value, or a download that differs from the published file; that one is not kept.
        EnvironmentProblem: the network or the disk failed, or `download` is False and a file is
            missing: the message names the files, their addresses, where they were looked for and
            where to put them.
    """
    source = sources.named(name)
    if source.embedded is None:
        contents = _from_files(source, folders.search(data_dir, recorded), download, progress)
    else:
        contents = [embedded(source)]
    images = {part: array for content in contents for part, array in content.images.items()}
    images = {part: images[part] for part in source.parts}  # in the order of the checksum
    labels = {part: array for content in contents for part, array in content.labels.items()}
    splits = _tensors(arrange(source, images))
    warnings = tuple(_warning(source, content) for content in contents if content.difference)
    return Dataset(
        name=name,
        description=source.description,
        binarization=source.binarization,
        checksum=sha256(*images.values()),
        verified=not warnings,
        source=", ".join(content.where for content in contents if content.images),
        warnings=warnings,
        labels=_tensors(split(source, labels)) if {*labels} == {*source.parts} else None,
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
    )


def locate(name: str, data_dir: Folder | None = None) -> tuple[str, ...] | None:
    """The files of a set that `load` would read, without a look at them; None if one is missing.

    () is a set that comes with an installed package. Raises Refused as `load` does for a name or a
    folder.
    """
    source = sources.named(name)
    if source.embedded is not None:
        return ()
    places = folders.search(data_dir)
    for container in source.containers:
        present = _present(container, places)
        if not _missing(container, present):
            return tuple(map(str, present.values()))
    return None


def _tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(array) for name, array in arrays.items()}


def _from_files(
    source: Source, places: list[Place], download: bool, progress: fetch.Progress | None
) -> list[Content]:
    """What the first container holds that is there whole, or can be downloaded."""
    for container in source.containers:
        present = _present(container, places)
        if not _missing(container, present):
            return list(_read(source, present).values())
    if not download:
        raise EnvironmentProblem(_how_to_provide(source, places, "downloads are off"))
    return _downloaded(source, places, progress)


def _downloaded(
    source: Source, places: list[Place], progress: fetch.Progress | None
) -> list[Content]:
    """What the first container holds whose missing files can be had; those are in the cache now."""
    folders.prepare_cache()
    failures: list[Exception] = []
    for container in source.containers:
        present = _present(container, places)
        try:
            missing = _missing(container, present)
            fetched = {file: _fetched(source, file, progress) for file in missing}
        except (fetch.NoNetwork, Refused) as failure:
            failures.append(failure)
        else:
            contents = _read(source, present) | fetched
            return [contents[file] for file in container if file in contents]
    problem = Refused if any(isinstance(f, Refused) for f in failures) else EnvironmentProblem
    why = "; ".join(map(str, failures))
    raise problem(_how_to_provide(source, places, why)) from failures[-1]


def _present(container: tuple[File, ...], places: list[Place]) -> dict[File, Path]:
    paths = {file: folders.find(file, places) for file in container}
    return {file: path for file, path in paths.items() if path is not None}


def _missing(container: tuple[File, ...], present: Mapping[File, Path]) -> list[File]:
    return [file for file in container if file not in present and not file.optional]


def _read(source: Source, present: Mapping[File, Path]) -> dict[File, Content]:
    return {
        file: decode(source, file, folders.read(path), str(path)) for file, path in present.items()
    }


def _fetched(source: Source, file: File, progress: fetch.Progress | None) -> Content:
    """What `file` holds: downloaded, compared with the published one and stored."""
    raw = fetch.download(file, progress)
    content = decode(source, file, raw, file.url)
    if content.difference:
        raise Refused(f"{file.url} sent another file than the published one: {content.difference}")
    return replace(content, where=str(folders.store(file, raw)))


def _how_to_provide(source: Source, places: list[Place], why: str) -> str:
    ways = " or ".join(
        ", ".join(f"{file.name} ({file.url})" for file in container if not file.optional)
        for container in source.containers
    )
    return (
        f"{source.name} is not in {' or '.join(map(str, places))}, and no download: {why}; put "
        f"{ways}, plain or .gz, into {places[-1].folder} or into a folder that data_dir or "
        f"${folders.DATA_DIR_VARIABLE} names"
    )


def _warning(source: Source, content: Content) -> str:
    return (
        f"{content.where} differs from the published file ({content.difference}): figures from it "
        f"are not results on {source.title}"
    )
