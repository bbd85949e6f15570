"""From files to verified masks: the whole way, and replay from the journals alone."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from review_cases import OBLIQUE, labels_and_estimate, make_folder

from napari_relabel.io.errors import InputError
from napari_relabel.io.givenmaps import given_estimate
from napari_relabel.io.hashing import file_sha256
from napari_relabel.io.maps import read_map
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.export import export_review, pick_reviewer
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.records import NewCase
from napari_relabel.review.replay import replay
from napari_relabel.review.session import ReviewSession

ACCEPT_AND_DIE = """
import os, signal, sys
from napari_relabel.review.session import ReviewSession
session = ReviewSession(sys.argv[1], reviewer="ana")
session.set_delta(0.15)
print(session.accept(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def decided_folder(tmp_path, cases=3):
    folder = make_folder(tmp_path, cases=cases)
    session = ReviewSession(folder, reviewer="ana")
    session.set_delta(0.05)
    session.accept()
    session.reject()
    session.edit(np.True_, 1, (slice(0, 2),) * 3)
    session.approve()
    if cases > 1:
        session.next_case()
        session.accept_remaining()
        session.undo()
        session.accept_where(np.True_, (slice(0, 5), slice(0, 12), slice(0, 6)))
    session.close()
    return folder


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_mask_and_map_to_delta_to_accept_to_kill_to_verified_export(tmp_path):
    """The first slice: real oblique NIfTI files, an uncertainty map made elsewhere."""
    labels, estimate = labels_and_estimate((14, 16, 9))
    image = nib.Nifti1Image((estimate.mean[1] * 900).astype(np.int16), OBLIQUE)
    mask = nib.Nifti1Image(labels.astype(np.int16), None)
    mask.set_sform(OBLIQUE, code=2)
    mask.set_qform(OBLIQUE, code=1)
    u = estimate.uncertainty()
    for name, file in (("ct", image), ("liver", mask), ("u", nib.Nifti1Image(u, OBLIQUE))):
        nib.save(file, tmp_path / f"{name}.nii.gz")
    original = (tmp_path / "liver.nii.gz").read_bytes()
    folder = ReviewFolder.create(
        tmp_path / "review", [NewCase("liver", tmp_path / "liver.nii.gz", tmp_path / "ct.nii.gz")]
    )
    volume = folder.load_labels("liver")
    folder.set_estimate("liver", given_estimate(read_map(tmp_path / "u.nii.gz"), volume))

    command = [sys.executable, "-c", ACCEPT_AND_DIE, str(folder.path)]
    died = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=120)
    assert died.returncode < 0

    session = ReviewSession(folder.path, reviewer="ana")
    # A map without probabilities leaves only the paper's rule.
    assert (session.options.rule, session.delta) == ("uncertainty", 0.15)
    assert (session.decisions == 1).sum() == int(died.stdout) > 0
    flipped = session.decisions == 1
    session.approve()
    session.close()

    result = export_review(ReviewFolder.open(folder.path), tmp_path / "out", only_approved=True)
    report = result.reports["liver"]
    written = nib.load(report.path)
    expected = np.where(flipped, 1 - labels, labels)
    np.testing.assert_array_equal(np.asarray(written.dataobj), expected)
    assert written.header == nib.load(tmp_path / "liver.nii.gz").header
    assert (u[flipped] > 0.15).all()
    assert (tmp_path / "liver.nii.gz").read_bytes() == original
    assert replay(ReviewFolder.open(folder.path), verify=True).ok


def test_the_sidecar_tells_the_story(tmp_path):
    folder = decided_folder(tmp_path)
    result = export_review(folder, tmp_path / "out", reviewer="ana")
    assert set(result.reports) == {"case0", "case1", "case2"}
    story = json.loads(result.reports["case0"].sidecar.read_text())
    session = ReviewSession(folder, reviewer="ana", case_id="case0")
    assert (story["case"], story["reviewer"], story["approved"]) == ("case0", "ana", True)
    assert story["given"]["sha256"] == folder.record("case0").labels_sha256
    for name, decision in (("accepted", 1), ("rejected", 2), ("edited", 3)):
        assert sum(story["voxels"][name].values()) == (session.decisions == decision).sum()
    assert story["voxels"]["undecided"] == (session.decisions == 0).sum()
    moved = (session.given == 0) & (session.corrected == 1) & (session.decisions == 1)
    assert story["voxels"]["accepted"].get("0>1", 0) == moved.sum()
    assert [s["kind"] for s in story["settings"]] == ["accept", "reject", "edit"]
    assert {s["rule"] for s in story["settings"]} == {"gated"}
    assert {s["delta"] for s in story["settings"]} == {0.05}
    assert not story["automatic"]
    assert story["export"]["mask_sha256"] == result.reports["case0"].sha256


def test_only_approved_leaves_the_others_out(tmp_path):
    folder = decided_folder(tmp_path)
    result = export_review(folder, only_approved=True, reviewer="ana")
    assert set(result.reports) == {"case0"} and result.left_out == ("case1", "case2")
    assert result.out == folder.exports / "ana"
    assert "2 not approved" in str(result)


def test_replay_rebuilds_what_was_exported_even_after_more_decisions(tmp_path):
    folder = decided_folder(tmp_path)
    export_review(folder, reviewer="ana")
    session = ReviewSession(folder, reviewer="ana", case_id="case0")
    session.undo()
    session.accept_remaining()
    report = session.export(tmp_path / "second")
    session.undo()
    session.close()
    shutil.rmtree(folder.path / "estimates")
    result = replay(ReviewFolder.open(folder.path), verify=True)
    assert result.ok and "4 of 4 exports the same" in str(result)
    first = next(case for case in result.cases if case.case_id == "case0")
    assert [e.verdict for e in first.exports] == ["same", "same"]
    assert first.changed == (session.corrected != session.given).sum()
    assert report.changed != first.changed
    assert replay(folder).cases[0].exports == ()


@pytest.mark.parametrize("tamper", ["mask", "bytes", "delete", "journal", "not a mask"])
def test_replay_notices_what_is_not_the_same(tmp_path, tamper):
    folder = decided_folder(tmp_path, cases=1)
    report = export_review(folder, reviewer="ana").reports["case0"]
    if tamper == "mask":
        mask = nib.load(report.path)
        data = np.array(mask.dataobj)
        data[-1, -1, -1] ^= 1
        nib.save(nib.Nifti1Image(data, None, mask.header), report.path)
    elif tamper == "bytes":
        mask = nib.load(report.path)
        mask.header["descrip"] = b"touched"
        nib.save(nib.Nifti1Image(np.array(mask.dataobj), None, mask.header), report.path)
    elif tamper == "delete":
        report.path.unlink()
    elif tamper == "not a mask":
        report.path.write_bytes(b"no")
    else:
        for path in folder.journals.glob("*.sqlite"):
            with sqlite3.connect(path) as db:
                db.execute("UPDATE action SET label = 0 WHERE kind = 'edit'")
            db.close()
    result = replay(folder, verify=True)
    assert not result.ok
    (export,) = result.cases[0].exports
    assert export.verdict == ("missing" if tamper == "delete" else "differs")
    assert str(report.path) in str(result)
    assert "0 of 1 exports the same" in str(result)


def test_replay_notices_any_other_bytes(tmp_path):
    folder = decided_folder(tmp_path, cases=1)
    report = export_review(folder, reviewer="ana").reports["case0"]
    written, mask = report.path.read_bytes(), nib.load(report.path)
    hashes = []
    for text in (b"a", b"b", b"c", b"d", b"e", b"f"):
        mask.header["descrip"] = text
        nib.save(nib.Nifti1Image(np.asarray(mask.dataobj), None, mask.header), report.path)
        hashes.append(file_sha256(report.path))
        assert not replay(folder, verify=True).ok
    report.path.write_bytes(written)
    assert replay(folder, verify=True).ok
    # Some sort before the hash that is expected, some after it.
    assert min(hashes) < file_sha256(report.path) < max(hashes)


@pytest.mark.parametrize("digest", ["0" * 64, "f" * 64])
def test_replay_notices_that_the_journal_gives_other_labels(tmp_path, digest):
    folder = decided_folder(tmp_path, cases=1)
    export_review(folder, reviewer="ana")
    for path in folder.journals.glob("*.sqlite"):
        with closing(sqlite3.connect(path)) as db:
            query = "UPDATE action SET note = json_set(note, '$.indices_sha256', ?)"
            db.execute(f"{query} WHERE kind = 'export'", (digest,))
            db.commit()
    assert not replay(folder, verify=True).ok


def test_every_combination_is_exported_bit_for_bit(tmp_path):
    """PNG with its palette of 0 and 255: what was not decided keeps every stored number."""
    labels, estimate = labels_and_estimate((32, 40))
    Image.fromarray(labels * 255).save(tmp_path / "mask.png")
    folder = ReviewFolder.create(tmp_path / "review", [NewCase("a", tmp_path / "mask.png")])
    folder.set_estimate("a", estimate)
    session = ReviewSession(folder, reviewer="ana")
    session.set_delta(0.1)
    session.accept_where(np.arange(40) < 20)
    written = np.asarray(Image.open(session.export().path))
    np.testing.assert_array_equal(written, session.corrected * 255)
    undecided = session.decisions == 0
    np.testing.assert_array_equal(written[undecided], labels[undecided] * 255)


def test_export_never_replaces_the_original(tmp_path):
    folder = decided_folder(tmp_path, cases=1)
    with pytest.raises(InputError, match="original"):
        export_review(folder, tmp_path / "data" / "labels", reviewer="ana")
    assert replay(folder, verify=True).cases[0].exports == ()


def test_an_export_is_between_the_actions_of_an_open_session(tmp_path):
    folder = decided_folder(tmp_path, cases=1)
    session = ReviewSession(folder, reviewer="ana")
    session.undo()
    export_review(folder, reviewer="ana")
    session.redo()
    session.close()
    assert replay(folder, verify=True).ok
    again = ReviewSession(folder, reviewer="ana")
    np.testing.assert_array_equal(again.decisions, session.decisions)
    assert again.case_id == "case0" and again.delta == 0.05


def test_whose_decisions(tmp_path, monkeypatch):
    folder = decided_folder(tmp_path, cases=1)
    monkeypatch.setattr("getpass.getuser", lambda: "me")
    assert pick_reviewer(folder, None) == "ana"
    with pytest.raises(ReviewError, match=r"no decisions of 'x', only of ana"):
        pick_reviewer(folder, "x")
    other = ReviewSession(folder, reviewer="bo")
    other.edit(np.True_, 1)
    with pytest.raises(ReviewError, match=r"say whose decisions.*ana, bo"):
        pick_reviewer(folder, None)
    mine = ReviewSession(folder)
    assert mine.reviewer == "me"
    mine.edit(np.True_, 1)
    assert pick_reviewer(folder, None) == "me"
    assert len(replay(folder).cases) == 3
    assert {case.reviewer for case in replay(folder, reviewer="bo").cases} == {"bo"}
