"""Where files are looked for, and where what was downloaded is kept."""

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from hvae.data.source import File
from hvae.errors import EnvironmentProblem, Refused
from hvae.files import write_bytes

DATA_DIR_VARIABLE = "HVAE_DATA_DIR"

Folder = str | os.PathLike[str]


@dataclass(frozen=True)
class Place:
    """A folder, which need not exist, and who named it."""

    folder: Path
    named_by: str

    def __str__(self) -> str:
        state = "" if os.path.isdir(self.folder) else ", no folder"
        return f"{self.folder} ({self.named_by}{state})"


def absolute_folder(data_dir: Folder) -> str:
    """`data_dir` as an absolute path, for the record of a run: it is right from any folder.

    Raises:
        EnvironmentProblem: it is relative, and the working directory is gone.
    """
    try:
        return os.path.abspath(os.fspath(data_dir))
    except OSError as error:
        raise EnvironmentProblem(f"the working directory is gone: {error.strerror}") from error


def cache_folder() -> Path:
    """The user's cache for data files; it need not exist."""
    return platformdirs.user_cache_path("hvae", appauthor=False) / "data"


def search(data_dir: Folder | None, recorded: Folder | None = None) -> list[Place]:
    """Where to look, in order.

    `data_dir` and the cache; without `data_dir`, what `recorded` and $HVAE_DATA_DIR name, and the
    cache. A folder that a run recorded may be gone since: the next places are looked at then.

    Raises:
        Refused: what the user names now is not a folder: `data_dir`, or $HVAE_DATA_DIR where
            nothing is recorded.
    """
    cache = Place(cache_folder(), "the cache")
    if data_dir is not None:
        return [_there(data_dir, "data_dir"), cache]
    variable, by = os.environ.get(DATA_DIR_VARIABLE), f"${DATA_DIR_VARIABLE}"
    if recorded is None:
        return [_there(variable, by), cache] if variable else [cache]
    first = Place(Path(recorded), "recorded by the run")
    return [first, Place(Path(variable), by), cache] if variable else [first, cache]


def find(file: File, places: list[Place]) -> Path | None:
    """`file` in the first of `places` that has it, plain or .gz."""
    plain = file.name.removesuffix(".gz")
    paths = (place.folder / name for place in places for name in (plain, f"{plain}.gz"))
    return next((path for path in paths if os.path.isfile(path)), None)


def read(path: Path) -> bytes:
    """The bytes of a local file. Raises EnvironmentProblem."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise EnvironmentProblem(f"{path} cannot be read: {error.strerror or error}") from error


def prepare_cache() -> None:
    """Make the cache folder, so that a disk that refuses it is known before a download."""
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = f"{cache_folder()} cannot be made: {error.strerror or error}"
        raise _no_cache(problem) from error


def store(file: File, content: bytes) -> Path:
    """Put verified bytes into the cache, whole or not at all. Raises EnvironmentProblem."""
    path = cache_folder() / file.name
    try:
        write_bytes(path, content)
    except EnvironmentProblem as error:
        raise _no_cache(str(error)) from error
    return path


def _there(folder: Folder, by: str) -> Place:
    if not os.path.isdir(folder):
        raise Refused(f"{by} is {os.fspath(folder)!r}, which is not a folder; name one that exists")
    return Place(Path(absolute_folder(folder)), by)


def _no_cache(problem: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"{problem}; make room for the data cache, or put the data files into a folder that "
        f"data_dir or ${DATA_DIR_VARIABLE} names"
    )
