"""A measured figure: what was timed, against what, and whether the ratio meets its target."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from .timing import Spread, ratios


@dataclass(frozen=True)
class Target:
    """A bound on the median of a ratio; `bound` is "at_least" or "at_most"."""

    bound: str
    value: float

    def met(self, median: float) -> bool:
        return median >= self.value if self.bound == "at_least" else median <= self.value

    def document(self) -> dict[str, float]:
        return {self.bound: self.value}


@dataclass(frozen=True)
class Timed:
    """A name and its seconds, round by round."""

    name: str
    seconds: Sequence[float]

    @classmethod
    def per(cls, name: str, seconds: Sequence[float], elements: int) -> "Timed":
        """The seconds an element of a call that works on so many."""
        return cls(name, [value / elements for value in seconds])


@dataclass(frozen=True)
class Figure:
    """One row of the table; the attributes are the keys of the document (`hvae.benchmarks`)."""

    section: str
    case: str
    subject: str
    unit: str
    time: Spread
    baseline: str
    baseline_time: Spread
    measure: str
    ratio: Spread
    target: Target | None

    @property
    def name(self) -> str:
        """Unique in a document."""
        return f"{self.section}: {self.case}: {self.subject} / {self.baseline}"

    @property
    def met(self) -> bool | None:
        """None without a target."""
        return None if self.target is None else self.target.met(self.ratio.median)

    def document(self) -> dict[str, Any]:
        """JSON; the met or missed of the target is of the ratio before it is rounded."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        parts = {
            name: value.document() if isinstance(value, Spread | Target) else value
            for name, value in values.items()
        }
        return {**parts, "met": self.met}


@dataclass(frozen=True)
class Case:
    """What the figures of one set of rounds have in common.

    Attributes:
        section, case: their names.
        unit: of the times; scale: from seconds to that unit.
    """

    section: str
    case: str
    unit: str
    scale: float

    def speedup(self, subject: Timed, baseline: Timed, target: Target | None = None) -> Figure:
        """How many times faster than the baseline."""
        ratio = ratios(baseline.seconds, subject.seconds)
        return self._versus(subject, baseline, "speedup", ratio, target)

    def cost(self, subject: Timed, baseline: Timed, target: Target | None = None) -> Figure:
        """How many times the time of the baseline."""
        ratio = ratios(subject.seconds, baseline.seconds)
        return self._versus(subject, baseline, "cost", ratio, target)

    def share(self, subject: Timed, moved: int, copy: Timed, copied: int) -> Figure:
        """What share of the bytes a second of a copy; moved and copied: bytes read and written."""
        ratio = ratios(copy.seconds, subject.seconds, moved / copied)
        return self._versus(subject, copy, "share", ratio, None)

    def _versus(
        self,
        subject: Timed,
        baseline: Timed,
        measure: str,
        ratio: Sequence[float],
        target: Target | None,
    ) -> Figure:
        return Figure(
            self.section,
            self.case,
            subject.name,
            self.unit,
            Spread.of(subject.seconds, self.scale),
            baseline.name,
            Spread.of(baseline.seconds, self.scale),
            measure,
            Spread.of(ratio),
            target,
        )
