"""What the user asked of `hvae bench`, and what follows from it for every section."""

from dataclasses import dataclass

import torch

from hvae.devices import available_device, use_threads
from hvae.runs import TrainConfig

from .figures import Target
from .timing import Clock, Plan, clock_of

_QUICK = 0.05  # of the time of a full run


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        quick: a twentieth of the time.
        device: of the kernels; SciPy's side stays on the CPU.
        threads: of training and evaluation; single functions and draws are timed on one.
    """

    quick: bool
    device: torch.device
    threads: int

    @classmethod
    def of(cls, quick: bool = False, device: str = "cpu", threads: int | None = None) -> "Settings":
        """Checked, with torch's threads set.

        Raises:
            Refused: the device is not there, or a value is not allowed.
        """
        count = torch.get_num_threads() if threads is None else threads
        TrainConfig(device=device, threads=count)  # the rules of its options are those here
        found = available_device(device)
        use_threads(count)
        return cls(quick, found, count)

    @property
    def clock(self) -> Clock:
        return clock_of(self.device)

    def plan(self, seconds: float, turn: float = Plan.turn) -> Plan:
        """Rounds for so many seconds of a full run."""
        return Plan(seconds * (_QUICK if self.quick else 1.0), turn=turn)

    def target(self, bound: str, value: float) -> Target | None:
        """A target of the CPU's figures; there are none for a GPU."""
        return Target(bound, value) if self.device.type == "cpu" else None
