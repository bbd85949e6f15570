"""Make the pictures of the documentation anew, from the real application.

Usage: ``python docs/screenshots.py [NAME...]``, on any display (``xvfb-run`` makes one). Everything
on the pictures is generated, so they need no data and come out alike everywhere.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TypeVar

import napari
import numpy as np
from napari.viewer import Viewer
from PIL import Image
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QApplication, QWidget

from napari_relabel.batch.estimates import estimate_dataset
from napari_relabel.cli.samples import write_sample_sets
from napari_relabel.core.synthetic import dermoscopy_case
from napari_relabel.gui.dock import ReviewDock, open_review
from napari_relabel.gui.train_dock import TrainDock
from napari_relabel.io.dataset import open_dataset
from napari_relabel.models.api import bundled_models
from napari_relabel.review.arranging import Arrangement
from napari_relabel.review.decide import decide
from napari_relabel.review.folder import ReviewFolder

T = TypeVar("T")
IMAGES = Path(__file__).resolve().parent / "images"
LARGEST = 300_000
WINDOW = (1280, 940)
PLACE = Path(tempfile.gettempdir()) / "napari-relabel-docs"


def main(names: list[str]) -> None:
    pictures: dict[str, Callable[[Viewer], QWidget | None]] = {
        "review": review_skin,
        "review-ct": review_ct,
        "learn": learn,
        "cases": cases,
        "audit": audit,
        "train": train,
    }
    shutil.rmtree(PLACE, ignore_errors=True)
    os.environ["XDG_DATA_HOME"] = os.environ["XDG_CONFIG_HOME"] = str(PLACE / "home")
    for sample in finish(write_sample_sets(PLACE)):
        model = bundled_models()[sample.model]
        steps = estimate_dataset(sample.dataset, PLACE / f"{sample.name}-review", models=[model])
        failed = finish(steps).failed
        if failed:
            raise RuntimeError(f"no estimate: {failed}")
    for name in names or pictures:
        viewer = napari.Viewer(title="napari-relabel", show=True)
        viewer.window.resize(*WINDOW)
        pause(0.5)
        dialog = pictures[name](viewer)
        save(viewer, IMAGES / f"{name}.png", dialog)
        viewer.window.remove_dock_widget("all")
        viewer.close()
    shutil.rmtree(PLACE)


def review_skin(viewer: Viewer) -> None:
    dock = open_review(viewer, PLACE / "skin-review", reviewer="anna")
    dock.controller.session.open_case("skin-6")
    settle(dock)
    dock.commands.accept()
    settle(dock)
    rows, columns = np.nonzero(dock.controller.session.corrected)
    viewer.scene.camera.center = (0, float(rows.mean()), float(columns.mean()))
    viewer.scene.camera.zoom = 0.8 * 580 / np.ptp(columns)
    pause(1)


def review_ct(viewer: Viewer) -> None:
    settle(open_review(viewer, PLACE / "ct-review", reviewer="anna"))


def learn(viewer: Viewer) -> QWidget | None:
    """The question after eight triangles were corrected by hand and approved."""
    dock = review_lesions(viewer, "learn", approved=8)
    dock.controller.session.open_case("lesion-28")
    settle(dock)
    dock.rule.learn.click()
    wait(lambda: dock.rule.question is not None)
    pause(1)
    return dock.rule.question


def cases(viewer: Viewer) -> QWidget | None:
    """The list after some cases were approved, begun and flagged."""
    dock = review_lesions(viewer, "cases", approved=4)
    for name, seconds in (("lesion-25", 95), ("lesion-29", 41)):
        dock.commands.open_case(name)
        settle(dock)
        dock.commands.accept()
        dock.controller.session.spend(seconds)
    dock.commands.flag()
    settle(dock)
    dock.commands.list_cases()
    dock.cases.resize(720, 460)
    dock.listing.arrange(Arrangement("score", descending=True))
    pause(1)
    return dock.cases


def review_lesions(viewer: Viewer, name: str, approved: int) -> ReviewDock:
    """Pictures with triangles for masks, of which some were corrected by hand and approved."""
    data, review = PLACE / "lesions", PLACE / f"lesions-{name}"
    lesions = {f"lesion-{seed}": dermoscopy_case(seed) for seed in range(20, 34)}
    for lesion, case in lesions.items():
        for folder, pixels in (("images", case.image), ("masks", case.noisy * np.uint8(255))):
            (data / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(data / folder / f"{lesion}.png")
    model = bundled_models()["dermoscopy"]
    finish(estimate_dataset(open_dataset(data), review, models=[model]))
    dock = open_review(viewer, review, reviewer="anna")
    session = dock.controller.session
    for number, lesion in enumerate(list(lesions)[:approved]):
        session.open_case(lesion)
        everything = tuple(slice(0, n) for n in lesions[lesion].truth.shape)
        session.edit(lesions[lesion].truth > 0, 1, everything)
        session.approve()
        session.spend(60 + 17 * number)
        settle(dock)
    return dock


def audit(viewer: Viewer) -> None:
    """A proposal of an audit of what was accepted without a person."""
    decide(ReviewFolder.open(PLACE / "skin-review"), max_fraction=1)
    dock = open_review(viewer, PLACE / "skin-review", reviewer="anna")
    settle(dock)
    dock.auditing.start()
    wait(lambda: dock.auditing.frame is not None and not dock.auditing.busy)
    dock.audit.allowed.setValue(20)
    dock.audit.begin.click()
    settle(dock)
    largest = max(dock.auditing.judging.units, key=lambda unit: unit.voxels)
    while dock.auditing.judging.unit != largest:
        dock.auditing.judging.step(+1)
    settle(dock)


def train(viewer: Viewer) -> None:
    viewer.open_sample("napari-relabel", "fair_skin")
    _, dock = viewer.window.add_plugin_dock_widget("napari-relabel", "Relabel train")
    assert isinstance(dock, TrainDock)
    dock.look_at(PLACE / "skin")
    wait(lambda: dock.form.isVisible() and dock.data.choose.isEnabled())
    for name, value in (("epochs", 12), ("batch_size", 2), ("validation_fraction", 0.34)):
        dock.form.controls[name].setValue(value)
    dock.form.labels.setCurrentText("Corrected in training")
    dock.start_training()
    wait(lambda: len(dock.run.curve.history) >= 8)


def settle(dock: ReviewDock) -> None:
    """Let everything that was scheduled happen."""
    pause(0.5)
    wait(lambda: dock.controller.session.snapshot.regions_ready)
    pause(1)


def pause(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def wait(done: Callable[[], bool], seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise RuntimeError(f"nothing happened for {seconds} s")
        pause(0.02)


def finish(steps: Generator[Any, None, T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def save(viewer: Viewer, path: Path, dialog: QWidget | None) -> None:
    picture = Image.fromarray(np.asarray(viewer.window.screenshot(flash=False))[..., :3])
    if dialog is not None:
        # A window of its own, so not on the screenshot.
        image = dialog.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
        bits = np.frombuffer(image.constBits().asstring(image.sizeInBytes()), np.uint8)
        rows = bits.reshape(image.height(), image.bytesPerLine())[:, : 3 * image.width()]
        front = Image.fromarray(rows.reshape(image.height(), image.width(), 3))
        room = [(a - b) // 2 for a, b in zip(picture.size, front.size, strict=True)]
        picture.paste(front, (room[0], room[1]))
        dialog.close()
    data = png(picture)
    if len(data) > LARGEST:
        data = png(picture.quantize(256, dither=Image.Dither.NONE))
    if len(data) > LARGEST:
        raise RuntimeError(f"{path.name} takes {len(data)} bytes, more than {LARGEST}")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    print(f"{path} {picture.size} {len(data) // 1000} kB")


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    main(sys.argv[1:])
