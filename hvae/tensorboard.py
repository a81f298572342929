"""Training curves for TensorBoard."""

from pathlib import Path
from typing import Any

from hvae.extras import require
from hvae.observer import Observer

FOLDER = "tensorboard"


class TensorBoard(Observer):
    """Writes the figures of every epoch into RUN/tensorboard, for `tensorboard --logdir RUN`.

    Epochs after the checkpoint that a resumed run goes on from are taken back.

    Raises:
        EnvironmentProblem: the package is not there.
    """

    def __init__(self) -> None:
        require("tensorboard", "tensorboard")
        self._make = require("torch.utils.tensorboard", "tensorboard").SummaryWriter
        self._run: Path | None = None
        self._writer: Any = None
        self._after = 0

    def begun(self, run: str) -> None:
        self._run = Path(run)

    def resumed(self, epoch: int, epochs: int) -> None:
        self._after = epoch

    def epoch(self, line: dict[str, Any], epochs: int) -> None:
        if self._writer is None and self._run is not None:
            folder = str(self._run / FOLDER)
            self._writer = self._make(folder, purge_step=self._after + 1 if self._after else None)
        for name, value in _scalars(line):
            self._writer.add_scalar(name, value, line["epoch"])
        self._writer.flush()

    def close(self) -> None:
        """Write what is left; call it when training has ended."""
        if self._writer is not None:
            self._writer.close()


def _scalars(line: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    """Every number of a line of metrics.jsonl, but the epoch; lists count from 1."""
    found = []
    for name, value in line.items():
        if isinstance(value, dict):
            found += _scalars(value, f"{prefix}{name}/")
        elif isinstance(value, list):
            by_place = {str(place): each for place, each in enumerate(value, start=1)}
            found += _scalars(by_place, f"{prefix}{name}/")
        elif isinstance(value, int | float) and f"{prefix}{name}" != "epoch":
            found.append((f"{prefix}{name}", float(value)))
    return found
