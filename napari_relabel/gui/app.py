"""The desktop app: a napari window with a review in it."""

from __future__ import annotations

import napari

from napari_relabel.gui.dock import open_review
from napari_relabel.review.folder import ReviewFolder

#: Wide enough for napari's layer list, a square picture and the dock.
WINDOW = (1500, 920)


def run_review(folder: ReviewFolder, *, reviewer: str | None = None) -> None:
    """Open a window on a REVIEW folder and return when it is closed.

    Parameters
    ----------
    folder : ReviewFolder
        What to review.
    reviewer : str, optional
        Who decides; default: the name of the user's account.
    """
    viewer = napari.Viewer(title=f"napari-relabel: {folder.path.name}")
    viewer.window.resize(*WINDOW)
    open_review(viewer, folder, reviewer=reviewer)
    napari.run()
