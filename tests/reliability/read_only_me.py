"""Works on a REVIEW folder that it may not write to, as somebody who has no special rights.

Run by `test_places`. Prints, as JSON, what each attempt came to: null where it worked, else the
message.
"""

from __future__ import annotations

import encodings.cp437
import html.entities
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import scipy.sparse.csgraph

from napari_relabel.review.decide import decide
from napari_relabel.review.export import export_review
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.replay import replay
from napari_relabel.review.session import ReviewSession

#: Loaded while all files can be read: who has no rights may not see the interpreter's own.
LOADED = encodings.cp437, html.entities, nib, scipy.sparse.csgraph

#: A user that every Unix has, with no rights at all.
NOBODY = 65534


def outcome(work: Callable[[], Any]) -> str | None:
    try:
        work()
    except (ValueError, OSError) as error:
        return str(error)
    return None


def main(path: str, out: str) -> None:
    if os.geteuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    folder = ReviewFolder.open(Path(path))
    session = ReviewSession(folder, reviewer="ana")
    before = session.corrected.copy()
    found = {
        name: outcome(getattr(session, name))
        for name in ("accept", "undo", "approve", "next_case", "export")
    }
    unchanged = bool((before == session.corrected).all()) and not session.is_approved
    found["close"] = outcome(session.close)
    found["replay"] = outcome(lambda: replay(folder))
    found["decide"] = outcome(lambda: decide(folder))
    found["export all"] = outcome(lambda: export_review(folder, out, reviewer="ana"))
    sys.stdout.write(json.dumps({"unchanged": unchanged, "found": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
