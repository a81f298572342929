"""A published file over the network."""

import http.client
import urllib.request
from collections.abc import Callable

from hvae.data.source import File

Progress = Callable[[str, int, int | None], None]

_TIMEOUT_SECONDS = 20.0
_CHUNK_BYTES = 1 << 18
_LIMIT_BYTES = 1 << 28  # the largest published file is 78 MB


class NoNetwork(Exception):
    """A file could not be had from its address; the message says why."""


def download(file: File, progress: Progress | None) -> bytes:
    """The bytes behind the address of `file`, whole. Raises NoNetwork.

    progress: called with the file's name, the bytes so far and the total bytes or None.
    """
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


def _reason(error: BaseException) -> str:
    """What an exception says, in one line."""
    cause = getattr(error, "reason", error)  # what urllib's URLError wraps
    text = " ".join(str(getattr(cause, "strerror", None) or cause).split())
    return text[:200] or type(error).__name__
