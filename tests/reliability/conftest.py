"""Cases of other folders of tests, made here too."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS / name) for name in ("io", "review", "models")]
