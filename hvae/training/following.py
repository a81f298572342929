"""A rank that trains together with rank 0, which alone has a folder and talks to the user."""

from typing import Any

from hvae.devices import use_threads
from hvae.errors import Diverged
from hvae.ranks import Ranks
from hvae.runs import TrainConfig
from hvae.runs.data_of import data_of
from hvae.training.divergence import NotFinite
from hvae.training.interrupts import Interrupts
from hvae.training.loop import open_state


def lead(
    ranks: Ranks, config: TrainConfig, data_dir: str | None, recorded: str | None = None
) -> None:
    """Tell the others what is trained, once its data are on the disk.

    Args:
        ranks: this one is rank 0.
        config: the settings.
        data_dir, recorded: as in `hvae.runs.data_of.data_of`.
    """
    ranks.told({"config": config.to_json(), "data_dir": data_dir, "recorded": recorded})


def dismiss(ranks: Ranks, result: dict[str, Any]) -> dict[str, Any]:
    """Tell the others that there is nothing to train; the result."""
    ranks.told({"result": result})
    return result


def follow(ranks: Ranks, interrupts: Interrupts) -> dict[str, Any]:
    """Train what rank 0 says, to its end.

    Returns:
        what rank 0 returns.

    Raises:
        LostRank: rank 0 or another has ended.
        Diverged, Interrupted: as `hvae.train`.
    """
    told = ranks.told(None)
    if "result" in told:
        ended: dict[str, Any] = told["result"]
        return ended
    config = TrainConfig.from_json(told["config"])
    use_threads(config.threads)
    dataset = data_of(config, told["data_dir"], recorded=told["recorded"])
    state = open_state(config, dataset, ranks)
    interrupts.wait()
    state.agree()
    try:
        for _ in state.epochs(interrupts.check):
            pass
    except NotFinite as error:
        raise Diverged(str(error)) from error
    result: dict[str, Any] = ranks.told(None)
    return result
