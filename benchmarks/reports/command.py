"""How a report runs: its options, and whatever goes wrong as one line on stderr."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from hvae.errors import EnvironmentProblem, HvaeError, Refused

_DONE, _INTERRUPTED = 0, 130

PROGRAM = "python -m hvae.benchmarks.reports."


class Options(argparse.ArgumentParser):
    """The options of the report `name`; what they do not allow is `Refused`."""

    def __init__(self, name: str, description: str) -> None:
        super().__init__(prog=PROGRAM + name, description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise Refused(f"{message}; allowed: {' '.join(self.format_usage().split()[1:])}")


def run(
    options: Options,
    report: Callable[[argparse.Namespace], None],
    arguments: Sequence[str] | None,
) -> int:
    """Parse the arguments (None: those of the process) and print the report.

    Returns:
        the exit status, as `hvae` has it: 0 done, 2 refused, 3 diverged, 4 the environment failed,
        130 interrupted.
    """
    try:
        report(options.parse_args(arguments))
        sys.stdout.flush()
        return _DONE
    except HvaeError as error:
        return _fail(str(error), error.exit_status)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _fail("the reader of the output has gone", EnvironmentProblem.exit_status)
    except OSError as error:
        return _fail(str(error), EnvironmentProblem.exit_status)
    except KeyboardInterrupt:
        return _fail("interrupted", _INTERRUPTED)


def _fail(message: str, status: int) -> int:
    print(f"hvae: error: {' '.join(message.split())}", file=sys.stderr)
    return status
