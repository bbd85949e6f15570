"""The report says what was done, and harms nobody who opens it."""

import csv
import json

import imageio.v3 as iio
import nibabel as nib
import numpy as np
import pytest
from review_cases import labels_and_estimate, make_folder, write_nifti

from napari_relabel.core.progress import finish
from napari_relabel.review.decide import decide
from napari_relabel.review.errors import JournalError
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.records import NewCase
from napari_relabel.review.report import iter_report
from napari_relabel.review.session import ReviewSession


@pytest.fixture
def reviewed(tmp_path):
    """Three cases: one corrected and approved, two of another by rule, one without proposals."""
    folder = make_folder(tmp_path, cases=3)
    session = ReviewSession(folder, reviewer="ada")
    session.accept()
    session.reject()
    session.edit(np.True_, 1, (slice(0, 2), slice(0, 3), slice(0, 1)))
    session.undo()
    session.edit(np.True_, 1, (slice(0, 2), slice(0, 1), slice(0, 1)))
    session.approve()
    session.export()
    state = session.given.copy(), session.corrected.copy(), session.decisions.copy()
    session.close()
    decide(folder, reviewer="bob")
    return folder, state


def read(report):
    with report.table.open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    return json.loads(report.values.read_text()), table, report.page.read_text()


def test_numbers_are_those_of_the_masks(reviewed, tmp_path):
    folder, (given, corrected, decisions) = reviewed
    report = finish(iter_report(folder, tmp_path / "report", "ada"))
    values, (row,), page = read(report)
    changed = int((given != corrected).sum())
    assert changed > 0
    assert report.changed == values["changed voxels"] == int(row["changed voxels"]) == changed
    (account,) = values["cases"]
    ml = nib.load(folder.load_labels("case0").path).header.get_zooms()
    assert account["changed_ml"] == pytest.approx(changed * np.prod(ml) / 1000, rel=1e-5)
    sizes = [(x == 1).sum() * np.prod(ml) / 1000 for x in (given, corrected)]
    assert account["volumes"]["1"] == pytest.approx(sizes, rel=1e-5)
    dice = (
        2 * ((given == 1) & (corrected == 1)).sum() / ((given == 1).sum() + (corrected == 1).sum())
    )
    assert float(row["Dice to given"]) == pytest.approx(dice, abs=1e-4)
    assert [int(row[k]) for k in ("accepted", "rejected", "edited")] == [
        int((decisions == d).sum()) for d in (1, 2, 3)
    ]
    flips = sum(int(part.split(": ")[1]) for part in row["flips"].split(", "))
    assert flips == changed
    assert row["status"].startswith("approved 20")
    assert row["by rule"] == ""
    assert "gated > 0.2 (mcdo, model mmmmmmmm)" in row["rules"]
    assert row["rules"] in page.replace("&gt;", ">")


def test_everybody_is_accounted_for_and_untouched_cases_are_not(reviewed, tmp_path):
    folder, _ = reviewed
    report = finish(iter_report(folder, tmp_path / "report"))
    values, table, page = read(report)
    assert values["reviewers"] == ["ada", "bob"]
    assert [(r["case"], r["reviewer"], r["by rule"]) for r in table] == [
        ("case0", "ada", ""),
        ("case0", "bob", "yes"),
        ("case1", "bob", "yes"),
    ]
    assert values["approved"] == 1
    for row in table:
        if int(row["changed voxels"]):
            (picture,) = (tmp_path / "report").glob(
                f"pictures/*-{row['case']}-{row['reviewer']}.png"
            )
            assert f'src="pictures/{picture.name}"' in page
            assert iio.imread(picture).ndim == 3
    # Again, over the first.
    assert finish(iter_report(folder, tmp_path / "report")) == report


def test_decisions_that_cannot_be_read_are_not_passed_over(reviewed, tmp_path):
    folder, _ = reviewed
    (journal,) = folder.journals.glob("bob-*.sqlite")
    journal.write_bytes(b"no journal" * 1000)
    with pytest.raises(JournalError, match=journal.name):
        finish(iter_report(folder, tmp_path / "report"))
    assert finish(iter_report(folder, tmp_path / "report", "ada")).cases == 1


def test_pictures_in_colour_and_names_that_would_do_harm(tmp_path):
    labels, estimate = labels_and_estimate((24, 20, 1))
    name = '=1+1<script>alert("x")</script>'
    path = write_nifti(tmp_path / "labels.nii", labels)
    rgb = np.zeros((24, 20, 1), np.float32)
    image = write_nifti(tmp_path / "image.nii", rgb)
    folder = ReviewFolder.create(tmp_path / "review", [NewCase(name, path, image)], values=(0, 1))
    folder.set_estimate(name, estimate)
    session = ReviewSession(folder, reviewer="@cmd")
    session.accept()
    session.close()
    _, (row,), page = read(finish(iter_report(folder, tmp_path / "report")))
    assert row["case"] == f"'{name}"
    assert row["reviewer"] == "'@cmd"
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    # No name and no path of this machine but those given.
    assert str(tmp_path) not in page + (tmp_path / "report" / "report.json").read_text()
