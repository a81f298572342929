"""What torchrun says of this process, in the variables that it sets; torch is not loaded for it."""

import os


def launched() -> bool:
    """Whether torchrun, or what sets its variables, began this process as one of several."""
    return _number("WORLD_SIZE", 1) > 1 and "RANK" in os.environ


def follows() -> bool:
    """Whether it is one of several that leaves to the first one what is said."""
    return launched() and os.environ["RANK"] != "0"


def local_rank() -> int:
    """Its number among those of this machine."""
    return _number("LOCAL_RANK", 0)


def _number(name: str, otherwise: int) -> int:
    """A variable that is a count; what else stands there was not set by torchrun."""
    text = os.environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else otherwise
