"""Training up to an epoch and no further, to go on later to the same bits."""

from typing import Any

from hvae.errors import Interrupted
from hvae.observer import Observer

_NO_SIGNAL = 0  # in place of the number of one


class PauseAfter(Observer):
    """Interrupts training at the end of an epoch, as Ctrl-C would; all of it is kept.

    Args:
        epoch: from 1.
    """

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch

    def epoch(self, line: dict[str, Any], epochs: int) -> None:
        if self._epoch <= line["epoch"] < epochs:
            raise Interrupted(_NO_SIGNAL)


def paused(error: Interrupted) -> bool:
    """Whether what interrupted training was a `PauseAfter`."""
    return error.number == _NO_SIGNAL
