"""Deciding on and exporting a case on disk; the oracle is the same case in memory."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from chunk_cases import GRID, LABELS, WHOLE, save_estimate, save_labels

from napari_relabel.core.rules import RuleOptions
from napari_relabel.io.errors import InputError
from napari_relabel.io.exportchunked import CorrectedBlock, export_chunked
from napari_relabel.io.lazy import open_labels
from napari_relabel.io.volume import read_labels
from napari_relabel.review.chain import read_chain
from napari_relabel.review.decide import decide
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.export import export_review
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.history import restore
from napari_relabel.review.records import NewCase
from napari_relabel.review.replay import replay
from napari_relabel.review.session import ReviewSession


def folders(root: Path) -> tuple[ReviewFolder, ReviewFolder]:
    """The case in memory and on disk."""
    labels = save_labels(root / "case.ome.zarr")
    whole = ReviewFolder.create(root / "whole", [NewCase("case", labels)])
    whole.set_estimate("case", WHOLE)
    chunked = ReviewFolder.create(root / "chunked", [NewCase("case", labels)])
    chunked.adopt_estimate("case", save_estimate(root / "made.zarr", open_labels(labels)).path)
    assert chunked.is_chunked("case") and not whole.is_chunked("case")
    return whole, chunked


def work(folder: ReviewFolder) -> None:
    """Decisions of every kind, also undone ones, that cross chunks."""
    session = ReviewSession(folder, reviewer="auto")
    session.set_delta(0.5)
    session.accept(1)
    session.reject(2)
    session.lock(3)
    session.undo()
    session.redo()
    session.edit(np.ones((4, 20, 30), bool), 2, np.s_[6:10, 5:25, 1:31])
    session.accept(4)
    session.undo()
    session.close()


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def state(folder: ReviewFolder):
    labels = read_labels(folder.files("case")[0], folder.values)
    return restore(labels, read_chain(folder.journals, "auto").of_case("case"), "case")


@pytest.mark.parametrize(
    ("options", "delta", "min_size", "max_fraction", "before"),
    [
        (RuleOptions("confident", max_epistemic=0.9), None, 1, 1.0, False),
        (RuleOptions("uncertainty"), 0.2, 20, 1.0, True),
        (RuleOptions("gated"), 0.1, 1, 0.01, True),
    ],
)
def test_decisions_and_masks_are_those_of_memory(
    options, delta, min_size, max_fraction, before, tmp_path: Path
) -> None:
    found, replayed = [], []
    for folder in folders(tmp_path):
        if before:
            work(folder)
        report = decide(
            folder, options, delta, min_size=min_size, max_fraction=max_fraction, approve=True
        )
        done = export_review(folder, folder.path / "out", only_approved=True, reviewer="auto")
        again = replay(folder, verify=True)
        assert again.ok and len(again.cases[0].exports) == 1
        replayed.append(replace(again.cases[0], actions=0, exports=()))
        found.append((report, state(folder), done.reports["case"], folder.path / "out"))
    (report, (whole, history), export, out), (other, (chunked, past), mask, place) = found
    assert report.cases[0].voxels > 0 and report == other
    for name in ("corrected", "decisions", "wanted", "locked", "counts", "confusion"):
        np.testing.assert_array_equal(getattr(chunked, name), getattr(whole, name), err_msg=name)
    assert replayed[0] == replayed[1]
    assert past.approved and history.approved
    assert content(place / "case.ome.zarr") == content(out / "case.ome.zarr")
    assert (mask.sha256, mask.voxels, mask.decided, mask.changed) == (
        export.sha256,
        export.voxels,
        export.decided,
        export.changed,
    )
    records = [json.loads(path.read_text()) for path in (export.sidecar, mask.sidecar)]
    for record in records:
        # One action in memory is one per chunk on disk.
        assert record.pop("actions") > 0
        for name in ("exported", "last_action"):
            record.pop(name)
        for entry in record["settings"]:
            for name in ("actions", "first", "last"):
                entry.pop(name)
    assert records[0] == records[1]


def test_replay_notices_what_was_changed_in_an_exported_mask(tmp_path: Path) -> None:
    _, folder = folders(tmp_path)
    decide(folder, RuleOptions("uncertainty"), 0.2)
    mask = export_review(folder, tmp_path / "out", reviewer="auto").reports["case"]
    stored = zarr.open_array(mask.path / "0", mode="r+")
    stored[3, 4, 5] = 100 if stored[3, 4, 5] == 0 else 0
    found = replay(folder, verify=True).cases[0].exports[0]
    assert (found.verdict, found.detail) == ("differs", "the file holds other labels")


def test_changed_labels_are_refused(tmp_path: Path) -> None:
    _, folder = folders(tmp_path)
    decide(folder, RuleOptions("uncertainty"), 0.2)
    file = next((tmp_path / "case.ome.zarr" / "0" / "c").rglob("[0-9]"))
    while file.is_dir():
        file = next(file.iterdir())
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(ReviewError, match="has changed since it was added"):
        export_review(folder, tmp_path / "out", reviewer="auto")
    with pytest.raises(ReviewError, match="has changed since it was added"):
        decide(folder, RuleOptions("uncertainty"), 0.1)
    assert not list(tmp_path.glob("out/*"))


def test_a_mask_that_would_change_without_a_decision_is_not_written(tmp_path: Path) -> None:
    labels = open_labels(save_labels(tmp_path / "case.ome.zarr"))
    box = tuple(slice(0, n) for n in GRID)
    other = (LABELS + 1) % 3
    block = CorrectedBlock(box, other.astype(np.uint8), np.zeros(GRID, bool))
    target = tmp_path / "out" / "case.ome.zarr"
    with pytest.raises(ValueError, match="would change without a decision"):
        export_chunked(target, labels, lambda: [block], lambda digest: {})
    assert not target.exists() and not target.with_name("case.json").exists()


def test_a_mask_that_reads_back_otherwise_is_not_written(tmp_path: Path) -> None:
    labels = open_labels(save_labels(tmp_path / "case.ome.zarr"))
    box = tuple(slice(0, n) for n in GRID)
    decided = np.ones(GRID, bool)
    asked = iter([np.zeros(GRID, np.uint8), np.ones(GRID, np.uint8)])
    target = tmp_path / "out" / "case.ome.zarr"
    with pytest.raises(InputError, match="its voxels were not those of the review"):
        export_chunked(
            target,
            labels,
            lambda: [CorrectedBlock(box, next(asked), decided)],
            lambda digest: {},
        )
    assert not target.exists() and not target.with_name("case.json").exists()


def test_the_original_is_never_written_to(tmp_path: Path) -> None:
    path = save_labels(tmp_path / "case.ome.zarr")
    labels = open_labels(path)
    with pytest.raises(InputError, match="is the original"):
        export_chunked(path, labels, lambda: [], lambda digest: {})
