"""What every test folder may import: the helpers beside this file."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
