"""Run by test_concurrency.py: one of several processes at work on one REVIEW folder.

Arguments: ``reviewer REVIEW NAME SEED ACTIONS OUT`` or ``batch REVIEW SEED``. A reviewer does
random actions, now and then closes the review and opens it again, and writes after every action
how each case stands, as far as it has looked. The batch stores one estimate after the other until
it is killed.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from review_cases import act_at_random, labels_and_estimate

from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.provenance import indices_sha256
from napari_relabel.review.session import ReviewSession


def review(folder: str, name: str, seed: str, actions: str, out: str) -> None:
    rng = np.random.default_rng(int(seed))
    session = ReviewSession(folder, reviewer=name)
    with Path(out).open("a", encoding="utf-8") as lines:
        for _ in range(int(actions)):
            chance = rng.random()
            if chance < 0.03:
                session.close()
                session = ReviewSession(folder, reviewer=name)
            elif chance < 0.06:
                session.export(Path(out).with_suffix(""))
            else:
                act_at_random(session, rng)
            state = [
                session.case_id,
                indices_sha256(session.decisions),
                indices_sha256(session.corrected),
                indices_sha256(session.locked.view(np.uint8)),
                session.is_approved,
            ]
            lines.write(f"{json.dumps(state)}\n")
            lines.flush()
    session.close()


def batch(folder: str, seed: str) -> None:
    rng = np.random.default_rng(int(seed))
    opened = ReviewFolder.open(folder)
    while True:
        for case in opened.cases:
            _, estimate = labels_and_estimate(seed=int(rng.integers(1000)))
            opened.set_estimate(case.id, estimate)
            opened.gain(case.id)
            time.sleep(0.01)


if __name__ == "__main__":
    {"reviewer": review, "batch": batch}[sys.argv[1]](*sys.argv[2:])
