"""`python -m hvae`: the command line, as torchrun begins it."""

import sys

from hvae.cli import main

if __name__ == "__main__":
    sys.exit(main())
