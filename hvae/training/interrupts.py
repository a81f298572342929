"""SIGINT and SIGTERM: the first one waits for a good moment, the second does not."""

import signal
import threading
from types import FrameType
from typing import Any

from hvae.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While the block lasts, a signal raises `Interrupted`.

    It does so at once, but for the first one after `wait`: that one raises in the next `check`. A
    signal that the process ignores stays ignored. Outside the main thread, where Python handles no
    signal, nothing happens.

    Attributes:
        urgent: whether a signal came that did not wait.
    """

    def __init__(self) -> None:
        self.urgent = False
        self._waiting = False
        self._pending: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wait(self) -> None:
        """From now on the first signal waits for `check`."""
        self._waiting = True

    def check(self) -> None:
        """Raise `Interrupted` if a signal is waiting."""
        if self._pending is not None:
            raise Interrupted(self._pending)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._waiting and self._pending is None:
            self._pending = number
            return
        self.urgent = True
        raise Interrupted(number)
