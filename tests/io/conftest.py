import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data():
    """Folder of the real data sets; skips where they are not there."""
    default = Path(__file__).parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("NAPARI_RELABEL_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set NAPARI_RELABEL_DATA")
    return folder
