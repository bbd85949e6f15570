"""The next case is ready before it is asked for, one at a time, and never an old one."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from gui_cases import GATED, OpenDock, estimate_with_doubts, settle, squares
from napari.layers import Labels
from pytestqt.qtbot import QtBot

from napari_relabel.gui.dock import ReviewDock
from napari_relabel.gui.outlines import draw_outlines_fast
from napari_relabel.review import ahead, cases
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.records import NewCase


def wait_for(qtbot: QtBot, dock: ReviewDock, case_id: str | None) -> None:
    qtbot.waitUntil(lambda: dock.controller.ahead.ready == case_id, timeout=20_000)


def test_the_next_case_is_opened_without_reading_and_shown_as_it_is(
    qtbot: QtBot,
    open_dock: OpenDock,
    pictures: ReviewFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dock = open_dock(pictures)
    session, layers = dock.controller.session, dock.controller.layers
    assert session is not None
    assert layers is not None
    wait_for(qtbot, dock, "case1")
    with monkeypatch.context() as patch:
        patch.setattr(cases, "prepare_case", None)
        dock.commands.next_case()
    assert session.case_id == "case1"
    settle(dock)
    given, image = pictures.load_labels("case1"), pictures.load_image("case1")
    assert image is not None
    np.testing.assert_array_equal(layers.given.data, given.indices)
    np.testing.assert_array_equal(layers.corrected.data, given.indices)
    np.testing.assert_array_equal(layers.image.data, image.data)
    assert session.estimate is not None
    np.testing.assert_array_equal(layers.uncertainty.data, session.estimate.uncertainty())
    # What is drawn is what is there, as on a case that was read.
    drawn = [np.array(layer._slice.image.view) for layer in layers]
    dock.controller.ahead.forget()
    dock.commands.open_case("case0")
    dock.controller.ahead.forget()
    dock.commands.open_case("case1")
    settle(dock)
    for layer, before in zip(layers, drawn, strict=True):
        np.testing.assert_array_equal(layer._slice.image.view, before, err_msg=layer.name)


def test_the_case_follows_order_direction_and_estimates(
    qtbot: QtBot, open_dock: OpenDock, pictures: ReviewFolder
) -> None:
    dock = open_dock(pictures)
    session = dock.controller.session
    assert session is not None
    wait_for(qtbot, dock, "case1")
    dock.listing.arrange(dock.listing.arrangement.by("case").by("case"))
    dock.commands.open_case("case2")
    wait_for(qtbot, dock, "case1")
    dock.commands.next_case()
    wait_for(qtbot, dock, "case0")
    dock.commands.previous_case()
    # There is nothing before it: the one that is still to do, going round.
    wait_for(qtbot, dock, "case1")
    other = estimate_with_doubts(squares((48, 48)), seed=55)
    pictures.set_estimate("case1", other)
    dock.controller.open_case("case1")
    assert session.estimate is not None
    np.testing.assert_array_equal(session.estimate.probabilities, other.probabilities)


def test_two_cases_are_in_memory_and_never_three(
    qtbot: QtBot, open_dock: OpenDock, pictures: ReviewFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[weakref.ref[object]] = []
    plain = ahead.OpenCase

    def noted(*args: object, **kwargs: object) -> object:
        made = plain(*args, **kwargs)  # type: ignore[arg-type]
        alive.append(weakref.ref(made))
        return made

    monkeypatch.setattr(ahead, "OpenCase", noted)
    dock = open_dock(pictures)
    session = dock.controller.session
    assert session is not None
    for _ in range(6):
        ids = dock.listing.ids
        at = ids.index(session.case_id)
        monkeypatch.setattr(dock.controller.ahead, "wanted", lambda i=ids[(at + 1) % 3]: i)
        dock.controller.ahead.look_soon()
        wait_for(qtbot, dock, ids[(at + 1) % 3])
        dock.commands.open_case(ids[(at + 1) % 3])
        settle(dock)
        gc.collect()
        assert sum(ref() is not None for ref in alive) <= 2
    assert len(alive) >= 7


def test_a_case_that_cannot_be_read_ahead_is_told_of_when_it_is_opened(
    qtbot: QtBot, open_dock: OpenDock, pictures: ReviewFolder
) -> None:
    dock = open_dock(pictures)
    wait_for(qtbot, dock, "case1")
    dock.controller.ahead.forget()
    pictures.estimate_path("case1").write_bytes(b"no estimate")
    dock.controller.ahead.look_soon()
    qtbot.wait(500)
    assert dock.controller.ahead.ready is None
    dock.status.clear()
    dock.commands.next_case()
    assert "case1.npz" in dock.status.text()


def test_volumes_of_other_shapes_and_sizes_of_voxels_are_drawn_as_they_are(
    qtbot: QtBot, open_dock: OpenDock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = [(24, 20, 30), (24, 20, 9), (40, 20, 30), (24, 20, 30), (24, 33, 12)]
    new, estimates = [], []
    for i, shape in enumerate(shapes):
        labels = squares(shape)
        image = np.random.default_rng(i).integers(0, 90, shape).astype(np.int16)
        affine = np.diag([-1.0, 1.0, 2.0 + i % 2, 1.0])
        for name, data in (("image", image), ("labels", labels)):
            nib.save(nib.Nifti1Image(data, affine), tmp_path / f"{name}{i}.nii")
        new.append(NewCase(f"v{i}", tmp_path / f"labels{i}.nii", tmp_path / f"image{i}.nii"))
        estimates.append(estimate_with_doubts(labels, i))
    folder = ReviewFolder.create(tmp_path / "review", new, options=GATED)
    for case, estimate in zip(new, estimates, strict=True):
        folder.set_estimate(case.id, estimate)
    dock = open_dock(folder)
    session, viewer = dock.controller.session, dock.controller.viewer
    assert session is not None
    for ready in (True, False):
        for case_id in ("v1", "v2", "v3", "v4", "v0", "v3", "v0"):
            if ready:
                monkeypatch.setattr(dock.controller.ahead, "wanted", lambda i=case_id: i)
                dock.controller.ahead.look_soon()
                wait_for(qtbot, dock, case_id)
            else:
                monkeypatch.setattr(dock.controller.ahead, "wanted", lambda: None)
                dock.controller.ahead.forget()
            dock.commands.open_case(case_id)
            settle(dock)
            layers = dock.controller.layers
            assert layers is not None
            # The slice of the first proposal, of every layer, on its place in the world.
            assert session.current is not None
            at = viewer.dims.current_step[0]
            first = layers.frame.view(session.snapshot.regions.components == session.current.id)
            assert first[at].sum() == first.sum(axis=(1, 2)).max()
            for layer in layers:
                plane = np.asarray(layer.data[(at, slice(None), slice(None))])
                np.testing.assert_array_equal(layer._slice.image.raw, plane, err_msg=layer.name)
                high = (np.array(session.given.shape)[::-1] - 1) * layer.scale
                np.testing.assert_allclose(layer.extent.world[1], high)
            assert viewer.dims.range[0].stop == layers.given.extent.world[1][0]
            assert viewer.scene.camera.zoom > 1


@pytest.mark.parametrize("thickness", [1, 2, 3])
def test_outlines_are_naparis_own(thickness: int) -> None:
    rng = np.random.default_rng(thickness)
    labels = np.kron(rng.integers(0, 4, (9, 7)), np.ones((5, 6), int)).astype(np.uint8)
    plain, fast = Labels(labels), Labels(labels)
    draw_outlines_fast(fast)
    plain.contour = fast.contour = thickness
    window = (slice(3, 40), slice(0, 30))
    for part in (window, (slice(0, 45), slice(0, 42))):
        np.testing.assert_array_equal(
            fast._calculate_contour(labels, part), plain._calculate_contour(labels, part)
        )
    fast.contour = 0
    assert fast._calculate_contour(labels, window) is None
