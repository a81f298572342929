"""The tables of exact numbers that the kernels are compiled with."""

import pathlib
import subprocess
import sys

SOURCES = pathlib.Path(__file__).parents[2] / "csrc" / "math"


def test_coefficients_are_what_their_script_writes():
    """To the byte: nobody has edited the header, and the script has not moved on without it."""
    script = SOURCES / "make_coefficients.py"
    written = subprocess.run([sys.executable, script], capture_output=True, check=True).stdout
    assert written == (SOURCES / "coefficients.h").read_bytes()
