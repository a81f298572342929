"""metrics.jsonl: a line an epoch, and back to an earlier epoch when a run is resumed."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hvae.errors import EnvironmentProblem, Refused
from hvae.files import writing
from hvae.runs.checks import is_figures


class Mark(NamedTuple):
    """Where the lines of an epoch end: the bytes up to there, and their SHA-256 (hex)."""

    bytes: int
    sha256: str


START = Mark(0, hashlib.sha256().hexdigest())


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, one an epoch, without a last one that is not whole yet.

    Raises:
        Refused: a line is not that of an epoch.
        EnvironmentProblem: it cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise EnvironmentProblem(f"{path} cannot be read: {error.strerror or error}") from error
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    found = []
    for number, line in enumerate(lines, 1):
        try:
            epoch = json.loads(line)
        except (ValueError, RecursionError):
            epoch = None
        if not isinstance(epoch, dict) or not _is_epoch(epoch, number):
            raise Refused(f"{path} is damaged: line {number} is not that of epoch {number}")
        found.append(epoch)
    return found


def _is_epoch(line: Mapping[str, Any], number: int) -> bool:
    return line.get("epoch") == number and all(
        is_figures(line.get(part)) for part in ("train", "validation")
    )


class Metrics:
    """Appends to the file, and knows where it is.

    Raises EnvironmentProblem wherever the disk fails. A line that was cut short by that, or by the
    end of the process, goes when the run is resumed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._bytes = 0
        self._digest = hashlib.sha256()

    def append(self, line: Mapping[str, Any]) -> None:
        """Add the line of an epoch."""
        content = (json.dumps(line, allow_nan=False) + "\n").encode()
        with writing(self.path), open(self.path, "ab") as file:
            file.write(content)
        self._bytes += len(content)
        self._digest.update(content)

    def mark(self) -> Mark:
        """The end of what was appended, once it is on the disk."""
        with writing(self.path), open(self.path, "ab") as file:
            os.fsync(file.fileno())
        return Mark(self._bytes, self._digest.hexdigest())

    def check(self, mark: Mark) -> None:
        """Whether the file begins as it did at `mark`.

        Raises:
            Refused: it is shorter, or its lines are others.
        """
        found = hashlib.sha256(self._head(mark)).hexdigest()
        if found != mark.sha256:
            raise Refused(f"{self.path} is damaged: its first {mark.bytes} bytes are others")

    def cut(self, mark: Mark) -> None:
        """Go back to `mark`, which was checked."""
        self._digest = hashlib.sha256(self._head(mark))
        self._bytes = mark.bytes
        with writing(self.path), open(self.path, "ab") as file:
            file.truncate(mark.bytes)
            os.fsync(file.fileno())

    def _head(self, mark: Mark) -> bytes:
        try:
            return self.path.read_bytes()[: mark.bytes]
        except FileNotFoundError:
            return b""
