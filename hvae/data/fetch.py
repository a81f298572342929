"""Where files are: the named folder, the user's cache, and the network."""

import http.client
import os
import urllib.request
from collections.abc import Callable
from pathlib import Path

import platformdirs

from hvae.data.sources import File
from hvae.errors import EnvironmentProblem, Refused
from hvae.files import write_bytes

Progress = Callable[[str, int, int | None], None]

DATA_DIR_VARIABLE = "HVAE_DATA_DIR"
_TIMEOUT_SECONDS = 20.0
_CHUNK_BYTES = 1 << 18
_LIMIT_BYTES = 1 << 28  # the largest published file is 78 MB


class NoNetwork(Exception):
    """A file could not be had from its address; the message says why."""


def cache_folder() -> Path:
    """The user's cache for data files; it need not exist."""
    return platformdirs.user_cache_path("hvae", appauthor=False) / "data"


def folders(data_dir: str | os.PathLike[str] | None) -> list[Path]:
    """Where to look, in order: `data_dir`, else $HVAE_DATA_DIR, and then the cache."""
    named, by = data_dir, "data_dir"
    if named is None:
        named, by = os.environ.get(DATA_DIR_VARIABLE) or None, f"${DATA_DIR_VARIABLE}"
    if named is None:
        return [cache_folder()]
    if not os.path.isdir(named):
        raise Refused(f"{by} is {os.fspath(named)!r}, which is not a folder; name one that exists")
    return [Path(named), cache_folder()]


def find(file: File, places: list[Path]) -> Path | None:
    """`file` in the first of `places` that has it, plain or .gz."""
    plain = file.name.removesuffix(".gz")
    paths = (place / name for place in places for name in (plain, f"{plain}.gz"))
    return next((path for path in paths if os.path.isfile(path)), None)


def read(path: Path) -> bytes:
    """The bytes of a local file. Raises EnvironmentProblem."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise EnvironmentProblem(f"{path} cannot be read: {_reason(error)}") from error


def download(file: File, progress: Progress | None) -> bytes:
    """The bytes behind the address of `file`, whole. Raises NoNetwork."""
    request = urllib.request.Request(file.url, headers={"User-Agent": "hvae"})
    content = bytearray()
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            length = response.headers.get("Content-Length") or ""
            total = int(length) if length.isdecimal() else None
            while (chunk := response.read(_CHUNK_BYTES)) and len(content) <= _LIMIT_BYTES:
                content += chunk
                if progress is not None:
                    progress(file.name, len(content), total)
    except (OSError, http.client.HTTPException) as error:
        raise NoNetwork(f"{file.name}: {_reason(error)}") from error
    if len(content) > _LIMIT_BYTES:
        raise NoNetwork(f"{file.name}: more than {_LIMIT_BYTES} bytes came")
    if total is not None and len(content) != total:
        raise NoNetwork(
            f"{file.name}: the connection broke off after {len(content)} of {total} bytes"
        )
    return bytes(content)


def prepare_cache() -> None:
    """Make the cache folder, so that a disk that refuses it is known before a download."""
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_cache(f"{cache_folder()} cannot be made: {_reason(error)}") from error


def store(file: File, content: bytes) -> Path:
    """Put verified bytes into the cache, whole or not at all. Raises EnvironmentProblem."""
    path = cache_folder() / file.name
    try:
        write_bytes(path, content)
    except EnvironmentProblem as error:
        raise _no_cache(str(error)) from error
    return path


def _reason(error: BaseException) -> str:
    """What an exception says, in one line."""
    cause = getattr(error, "reason", error)  # what urllib's URLError wraps
    text = " ".join(str(getattr(cause, "strerror", None) or cause).split())
    return text[:200] or type(error).__name__


def _no_cache(problem: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"{problem}; make room for the data cache, or put the data files into a folder that "
        f"data_dir or ${DATA_DIR_VARIABLE} names"
    )
