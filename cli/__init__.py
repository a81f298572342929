"""The command line: `hvae COMMAND`, a module each. It parses, calls the library and prints."""

import importlib
import os
import pkgutil
import sys
from importlib import metadata

import click

from hvae.errors import EnvironmentProblem, HvaeError, Interrupted
from hvae.launcher import follows

_INTERRUPTED = 130  # 128 + SIGINT, as a shell has it


class _Commands(click.Group):
    """Finds the commands in the modules beside this one; each module has one as `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        names = (module.name for module in pkgutil.iter_modules(__path__))
        return sorted(name for name in names if not name.startswith("_"))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{name}").command
        return command


@click.command(
    cls=_Commands, no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(metadata.version("hvae"), prog_name="hvae")
def group() -> None:
    """Hyperspherical variational auto-encoders on exact, fast kernels.

    \b
    hvae train                      train on the embedded digits, in under a minute
    hvae eval                       evaluate the newest run
    hvae plot                       draw what it learned, into its folder
    hvae train --dataset caltech --shells 10,10,10,11
    hvae bench --quick              how fast the kernels are here

    Exit status: 0 done; 2 the input is refused; 3 training diverged; 4 the network, the disk, the
    memory, or a run that another process trains; 130 or 143 interrupted by SIGINT or SIGTERM.
    """


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; its exit status. An error is one line on stderr."""
    _open_standard_streams()
    try:
        status = group.main(arguments, prog_name="hvae", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "hvae"
        return _fail(f"{error.format_message()} See {command} --help", error.exit_code)
    except (HvaeError, Interrupted) as error:
        return _fail(str(error), error.exit_status)
    except MemoryError:
        return _fail("memory: there is not enough of it", EnvironmentProblem.exit_status)
    except (BrokenPipeError, SystemExit):  # click makes of a broken pipe in a command sys.exit(1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _fail("the reader of the output has gone", EnvironmentProblem.exit_status)
    except OSError as error:
        return _fail(str(error), EnvironmentProblem.exit_status)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", _INTERRUPTED)


def _fail(message: str, status: int) -> int:
    """Of several ranks the first one speaks: what ends one ends all."""
    if not follows():
        click.echo(f"hvae: error: {' '.join(message.split())}", err=True)
    return status


def _open_standard_streams() -> None:
    """What the shell closed (`>&-`) becomes /dev/null; Python has None in its place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
