"""Packages that not everyone needs: imported where used, or one line says what to install.

`data` reads files of other formats than NumPy's and text; pyproject.toml lists all extras.
"""

import importlib
from types import ModuleType

from hvae.errors import EnvironmentProblem


def require(module: str, extra: str) -> ModuleType:
    """The module of that dotted name, which comes with an extra of hvae.

    Args:
        module: such as "h5py" or "PIL.Image".
        extra: the name of the extra in pyproject.toml that has its package.

    Raises:
        EnvironmentProblem: it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        why = "is not installed" if error.name == name else f"cannot be imported ({error})"
        how = f'to have it: pip install "hvae[{extra}]"'
        raise EnvironmentProblem(f"{name} {why}; {how}") from error
