"""Reviews and files under names that would do harm if they were taken for more than names."""

import json

import numpy as np
from review_cases import make_folder
from volume_cases import KINDS

from napari_relabel.core.progress import finish
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.report import iter_report
from napari_relabel.review.session import ReviewSession

#: Names that would do harm in SQL, HTML, CSV or a path if they were taken for it.
NAMES = [
    "'); DROP TABLE action; --",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "=HYPERLINK(1)",
    "a;=1+1",
    "\uff1d1+1",
    "../../escaped",
    "%s{0}",
]


def a_store(path):
    kind = next(kind for kind in KINDS if kind.name == "OME-Zarr 0.4")
    kind.save(path, np.ones((6, 6, 4), np.uint8), kind.affine)
    return path


def reviewed(tmp_path, case_id, reviewer="ana"):
    """A review with one case, its proposals accepted."""
    folder = make_folder(tmp_path)
    content = json.loads((folder.path / "review.json").read_text())
    content["cases"][0]["id"] = case_id
    estimate = folder.load_estimate("case0")
    (folder.path / "review.json").write_text(json.dumps(content))
    folder = ReviewFolder.open(folder.path)
    folder.set_estimate(case_id, estimate)
    session = ReviewSession(folder, reviewer=reviewer)
    session.accept()
    session.approve()
    session.close()
    return folder


def report_of(tmp_path, name):
    folder = reviewed(tmp_path, name, name)
    return finish(iter_report(folder, tmp_path / "report"))
