"""Results of windows on disk, until everything that needs them is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_relabel.core.arrays import FloatArray
from napari_relabel.io.atomic import atomic_path


class WindowFiles:
    """One file per window, whole or not there.

    Parameters
    ----------
    folder : Path
        Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __contains__(self, number: int) -> bool:
        return self._path(number).exists()

    def save(self, number: int, values: FloatArray) -> None:
        """Keep the result of a window."""
        with atomic_path(self._path(number)) as temporary, temporary.open("wb") as file:
            np.save(file, values, allow_pickle=False)

    def load(self, number: int) -> FloatArray:
        """The result of a window, of which only what is looked at is read."""
        values: FloatArray = np.load(self._path(number), mmap_mode="r", allow_pickle=False)
        return values

    def drop(self, number: int) -> None:
        """Delete the result of a window."""
        self._path(number).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08}.npy"
