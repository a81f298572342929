"""Packages that not every user needs: an extra of the installation each."""

import importlib
from types import ModuleType

from hvae.errors import EnvironmentProblem


def require(module: str, extra: str) -> ModuleType:
    """The module, imported.

    Args:
        module: its dotted name.
        extra: the extra in pyproject.toml that installs it.

    Raises:
        EnvironmentProblem: it is not installed; the message says what to type.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise EnvironmentProblem(
            f'{module} is not installed; to install it: pip install "hvae[{extra}]"'
        ) from error
