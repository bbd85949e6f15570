"""A threshold per transition in a real window."""

from __future__ import annotations

import numpy as np
import pytest
from gui_cases import OpenDock, settle
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_relabel.review.folder import ReviewFolder


def test_every_transition_has_a_threshold_of_its_own(
    open_dock: OpenDock, pictures: ReviewFolder, qtbot: QtBot
) -> None:
    dock = open_dock(pictures)
    session, window = dock.controller.session, dock.rule.transitions
    assert session is not None
    estimate, given = session.estimate, session.given
    assert estimate is not None
    p = estimate.mean[1]
    qtbot.mouseClick(dock.rule.apart, Qt.MouseButton.LeftButton)
    assert window.isVisible()
    assert window.thresholds[0, 1].value() == pytest.approx(p[given == 1].mean(), abs=1e-3)
    assert window.thresholds[1, 0].value() == pytest.approx((1 - p)[given == 0].mean(), abs=1e-3)
    window.thresholds[0, 1].setValue(0.58)
    settle(dock)
    assert session.options.rule == dock.rule.rule.currentText() == "conditional"
    window.thresholds[1, 0].setValue(1)
    settle(dock)
    added = (given == 0) & (p > 0.58)
    assert session.snapshot.open_voxels == added.sum() > 0
    assert window._open[0, 1].text().endswith(f"{added.sum():,} voxels")
    assert window._open[1, 0].text() == "0 open, 0 voxels"
    np.testing.assert_array_equal(session.candidates.mask(session.delta), added)
    dock.commands.next_case()
    settle(dock)
    assert window.thresholds[0, 1].value() == 0.58
    qtbot.mouseClick(window.reset, Qt.MouseButton.LeftButton)
    settle(dock)
    assert session.options.thresholds is None
    assert window.thresholds[1, 0].value() < 1
