"""Drive a whole session in the real window with key presses and the mouse, and picture each step.

Usage: ``python docs/session.py [REVIEW]``, on any display (``xvfb-run`` makes one). The first half
ends with a kill of its own process; the second one opens the review again, saves its masks, and
compares them with what the journal says and with what was on the canvas before the kill.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from napari.viewer import Viewer
from PIL import Image, ImageDraw
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from screenshots import IMAGES, WINDOW, finish, pause, png, settle, wait

from napari_relabel.cli.samples import write_sample_sets
from napari_relabel.gui.dock import ReviewDock, open_review
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.records import NewCase
from napari_relabel.review.replay import replay

CASES = ("skin-6", "skin-2")
REVIEWER = "anna"
NONE, SHIFT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier
#: Size of one picture of the series, and how many stand side by side.
TILE, COLUMNS = (640, 470), 2


class Session:
    """A window with the dock, and the pictures taken of it."""

    def __init__(self, folder: Path, pictures: Path) -> None:
        self.viewer = Viewer(title="napari-relabel", show=True)
        self.viewer.window.resize(*WINDOW)
        self.canvas = self.viewer.window._qt_viewer.canvas.native
        self.pictures = pictures
        self.dock: ReviewDock = open_review(self.viewer, folder, reviewer=REVIEWER)
        settle(self.dock)

    def key(self, key: Qt.Key, modifier: Qt.KeyboardModifier = NONE, times: int = 1) -> None:
        """Press a key on the canvas."""
        for _ in range(times):
            QTest.keyClick(self.canvas, key, modifier)
            settle(self.dock)

    def drag(self, widget: object, points: list[QPoint]) -> None:
        """Drag the mouse over a widget."""
        left = Qt.MouseButton.LeftButton
        QTest.mousePress(widget, left, pos=points[0])
        for point in points[1:]:
            QTest.mouseMove(widget, point)
            pause(0.05)
        QTest.mouseRelease(widget, left, pos=points[-1])
        settle(self.dock)

    def picture(self, caption: str) -> None:
        """Keep the window as it is now, with what it shows written under it."""
        number = len(list(self.pictures.glob("*.png"))) + 1
        shot = np.asarray(self.viewer.window.screenshot(flash=False))[..., :3]
        tile = Image.new("RGB", (TILE[0], TILE[1] + 24), "white")
        tile.paste(Image.fromarray(shot).resize(TILE, Image.Resampling.LANCZOS))
        ImageDraw.Draw(tile).text((6, TILE[1] + 4), f"{number}. {caption}", "black", font_size=14)
        tile.save(self.pictures / f"{number:02d}.png")
        print(f"{number}. {caption}")

    def close(self) -> None:
        """Close the window."""
        self.viewer.window.remove_dock_widget("all")
        self.viewer.close()


def first_half(folder: Path, pictures: Path) -> None:
    """Estimate, move delta, decide, undo, paint, go to the next case; then kill the process."""
    session = Session(folder, pictures)
    dock = session.dock
    review = dock.controller.session
    assert review is not None
    session.picture("a REVIEW folder is open; no estimate yet")
    QTest.mouseClick(dock.estimate.run, Qt.MouseButton.LeftButton)
    wait(lambda: not dock.estimating.running)
    settle(dock)
    session.picture("Estimate: proposed flips, the first one framed")
    histogram = dock.rule.histogram
    y, x = histogram.height() // 2, int(0.7 * histogram.width())
    session.drag(histogram, [QPoint(i, y) for i in range(x, x - 60, -6)])
    session.picture("delta dragged on the histogram, more is proposed")
    session.key(Qt.Key.Key_J)
    session.key(Qt.Key.Key_K)
    session.key(Qt.Key.Key_J)
    session.picture("J accepts, K rejects, the view follows")
    before = review.corrected.copy()
    session.key(Qt.Key.Key_U)
    assert not np.array_equal(before, review.corrected)
    session.picture("U undoes the last decision")
    session.key(Qt.Key.Key_G, Qt.KeyboardModifier.AltModifier)
    session.picture("Alt+G: corrected and given labels side by side")
    session.key(Qt.Key.Key_G, Qt.KeyboardModifier.AltModifier)
    assert dock.controller.layers is not None
    session.viewer.layers.selection.active = corrected = dock.controller.layers.corrected
    session.key(Qt.Key.Key_2)
    corrected.selected_label, corrected.brush_size = 1, 24
    middle = session.canvas.rect().center()
    session.drag(session.canvas, [middle + QPoint(4 * i, 2 * i) for i in range(-12, 13)])
    assert review.snapshot.edited_voxels > 0
    session.picture("a stroke of the brush in the corrected labels")
    session.key(Qt.Key.Key_Period)
    QTest.mouseClick(dock.estimate.run, Qt.MouseButton.LeftButton)
    wait(lambda: not dock.estimating.running)
    settle(dock)
    session.key(Qt.Key.Key_J, times=2)
    session.picture("the next case, estimated, two proposals accepted; then the process is killed")
    session.key(Qt.Key.Key_Comma)
    np.save(folder.parent / f"{review.case_id}.npy", review.corrected)
    os.kill(os.getpid(), signal.SIGKILL)


def second_half(folder: Path, pictures: Path) -> None:
    """Go on after the kill, save both masks, compare them with the journal and with the canvas."""
    session = Session(folder, pictures)
    review = session.dock.controller.session
    assert review is not None
    seen = np.load(folder.parent / f"{review.case_id}.npy")
    if not np.array_equal(review.corrected, seen):
        raise RuntimeError("the review did not come back as it was before the kill")
    session.picture("opened again after the kill: nothing is lost")
    for _ in CASES:
        session.key(Qt.Key.Key_Q)
    session.picture("Q approves, saves and verifies; all cases are done")
    session.close()
    report = replay(ReviewFolder.open(folder), reviewer=REVIEWER, verify=True)
    masks = {path.stem: iio.imread(path) for path in (folder / "exports" / REVIEWER).glob("*.png")}
    exports = [export for case in report.cases for export in case.exports]
    if not report.ok or len(exports) != len(CASES) or set(masks) != set(CASES):
        raise RuntimeError(f"{report}; masks of {sorted(masks)}")
    if not np.array_equal(masks[CASES[0]] > 0, seen > 0):
        raise RuntimeError("the exported mask is not the one that was on the canvas")
    print(f"{len(masks)} exported masks equal the journal's and the canvas's")


def main(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="napari-relabel-docs-") as name:
        place = Path(name)
        os.environ["XDG_DATA_HOME"] = os.environ["XDG_CONFIG_HOME"] = str(place / "home")
        folder = Path(arguments[0]) if arguments else place / "review"
        pictures = place / "pictures"
        pictures.mkdir()
        skin = finish(write_sample_sets(place))[0].dataset
        wanted = {case.id: case for case in skin.cases if case.id in CASES}
        ReviewFolder.create(folder, [NewCase(i, wanted[i].labels, wanted[i].image) for i in CASES])
        for half in ("first", "second"):
            done = subprocess.run([sys.executable, __file__, "--half", half, folder, pictures])
            if done.returncode != {"first": -signal.SIGKILL, "second": 0}[half]:
                raise RuntimeError(f"the {half} half ended with {done.returncode}")
        tiles = [Image.open(path) for path in sorted(pictures.glob("*.png"))]
    width, height = tiles[0].size
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * width, rows * height), "white")
    for at, tile in enumerate(tiles):
        sheet.paste(tile, (at % COLUMNS * width, at // COLUMNS * height))
    data = png(sheet.quantize(256, dither=Image.Dither.NONE))
    (IMAGES / "session.png").write_bytes(data)
    print(f"session.png {sheet.size} {len(data) // 1000} kB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--half"]:
        part = {"first": first_half, "second": second_half}[sys.argv[2]]
        part(Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        main(sys.argv[1:])
