"""What can go wrong, by whose fault: each class carries the exit status of the command line."""


class HvaeError(Exception):
    """An error that ends a command with one line; `exit_status` is the status it ends with."""

    exit_status = 1


class Refused(HvaeError, ValueError):
    """The input is wrong: the message says what is, and what is allowed. Nothing was written."""

    exit_status = 2


class Diverged(HvaeError):
    """Training met a loss or a gradient that is not finite; the last good weights are kept."""

    exit_status = 3


class EnvironmentProblem(HvaeError):
    """The network, the disk or the memory failed; the same command may work later."""

    exit_status = 4


class Interrupted(BaseException):
    """A signal ended the work; no `except Exception` takes it for a failure (KeyboardInterrupt).

    Args:
        number: of the signal; `exit_status` is 128 + number, as a shell has it.
        message: what is kept and how to go on.
    """

    def __init__(self, number: int, message: str = "interrupted") -> None:
        super().__init__(message)
        self.number = number
        self.exit_status = 128 + number


def short(text: object, most: int = 24) -> str:
    """What a user gave, quoted and cut to `most` characters, for a message of one line."""
    shown = str(text)
    return repr(shown if len(shown) <= most else f"{shown[: most - 3]}...")


def refused_option(name: str, value: object, allowed: str) -> Refused:
    """The one-line refusal of an option's value, by the option's name on the command line."""
    shown = repr(value) if not isinstance(value, tuple) else ",".join(map(str, value))
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return Refused(f"--{name.replace('_', '-')}: {shown} is not allowed; allowed: {allowed}")
