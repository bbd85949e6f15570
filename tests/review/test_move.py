"""A review that was moved is the same review."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from review_cases import make_folder

from napari_relabel.review.errors import ReviewError
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.move import move_review
from napari_relabel.review.replay import replay
from napari_relabel.review.session import ReviewSession


def test_decisions_estimates_and_files_are_there_after_a_move(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a", cases=2)
    session = ReviewSession(folder, reviewer="anna")
    session.accept()
    corrected = session.corrected.copy()
    session.close()
    old = folder.path
    target = tmp_path / "far" / "away" / "review"
    target.parent.mkdir(parents=True)
    moved = move_review(folder, target)
    assert moved.path == target
    assert not old.exists()
    again = ReviewSession(moved, reviewer="anna")
    np.testing.assert_array_equal(again.corrected, corrected)
    assert again.can_undo
    assert again.image is not None
    assert again.estimate is not None
    again.close()


def test_masks_exported_elsewhere_are_still_verified_after_moves(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a")
    session = ReviewSession(folder, reviewer="anna")
    session.accept()
    outside = session.export(tmp_path / "out").path
    session.export()
    session.close()
    for target in (tmp_path / "b" / "deep" / "review", tmp_path / "c"):
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = move_review(folder, target)
        (case,) = replay(folder, verify=True).cases
        assert [export.verdict for export in case.exports] == ["same", "same"]
    ReviewFolder.open(folder.path).add([])
    outside.unlink()
    (case,) = replay(ReviewFolder.open(folder.path), verify=True).cases
    assert sorted(export.verdict for export in case.exports) == ["missing", "same"]


def test_exports_of_one_relative_name_before_and_after_a_move_are_told_apart(
    tmp_path: Path,
) -> None:
    folder = make_folder(tmp_path / "a" / "b")
    files = []
    for place in (tmp_path / "c" / "d", None):
        session = ReviewSession(folder, reviewer="anna")
        session.accept()
        files.append(session.export(folder.path.parent / "out").path)
        session.close()
        if place is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            folder = move_review(folder, place)
    (case,) = replay(folder, verify=True).cases
    assert {export.file for export in case.exports} == set(files)
    # The first mask is not that of all decisions, and is the same as it was all the same.
    assert [export.verdict for export in case.exports] == ["same", "same"]
    files[0].write_bytes(files[1].read_bytes())
    (case,) = replay(folder, verify=True).cases
    assert {e.file: e.verdict for e in case.exports} == {files[0]: "differs", files[1]: "same"}


def test_arrays_of_layers_move_along(tmp_path: Path) -> None:
    folder = ReviewFolder.create(tmp_path / "review")
    labels = np.zeros((8, 9), np.uint8)
    labels[2:5, 3:6] = 1
    folder.add_case_from_arrays("case", labels)
    moved = move_review(folder, tmp_path / "elsewhere")
    np.testing.assert_array_equal(moved.load("case").labels.indices, labels)


def test_a_target_in_use_or_inside_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a")
    used = tmp_path / "used"
    used.mkdir()
    (used / "something").touch()
    for target in (used, folder.path / "inside"):
        with pytest.raises(ReviewError):
            move_review(folder, target)
    assert ReviewFolder.open(folder.path).cases == folder.cases
    assert list(used.iterdir()) == [used / "something"]
