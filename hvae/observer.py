"""What a long job tells its caller while it works; the library itself prints nothing."""

from collections.abc import Callable, Sequence
from typing import Any


class Observer:
    """Ignores everything; a subclass shows what it wants."""

    def warning(self, text: str) -> None:
        """Something that the figures must not be read without."""

    def data(self, summary: str) -> None:
        """What was found in a file of the user's, in one line; "" for a published set."""

    def download(self, name: str, done: int, total: int | None) -> None:
        """`done` bytes of `total` (None: unknown) of a data file have arrived."""

    def begun(self, run: str) -> None:
        """Training writes into this folder from now on."""

    def resumed(self, epoch: int, epochs: int) -> None:
        """A run goes on after this epoch (0: from its beginning), of at most `epochs`."""

    def complete(self, run: str) -> None:
        """The run in this folder is complete: there is nothing to go on with."""

    def epoch(self, line: dict[str, Any], epochs: int) -> None:
        """An epoch of at most `epochs` has ended; `line` is that of metrics.jsonl."""

    def images(self, done: int, total: int) -> None:
        """`done` images of `total` are evaluated."""


class Observers(Observer):
    """Tells several observers, in order.

    Args:
        observers: who is told.
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        for name in vars(Observer):
            if not name.startswith("_"):
                setattr(self, name, _all([getattr(observer, name) for observer in observers]))


def _all(methods: Sequence[Callable[..., None]]) -> Callable[..., None]:
    def tell(*arguments: Any, **more: Any) -> None:
        for method in methods:
            method(*arguments, **more)

    return tell
