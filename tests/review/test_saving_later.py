"""A mask that is written in another thread: the journal says so in the right place, or not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from review_cases import make_folder

from napari_relabel.io.errors import InputError
from napari_relabel.io.volume import read_labels
from napari_relabel.review import approving
from napari_relabel.review.chain import read_chain
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.replay import replay
from napari_relabel.review.session import ReviewSession


class Gate:
    """Lets masks be written when the test says so, or fails them."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.error: Exception | None = None
        self.begun = 0
        self._write = approving.export_case

    def __call__(self, *args, **kwargs):
        self.begun += 1
        assert self.go.wait(20)
        if self.error is not None:
            raise self.error
        return self._write(*args, **kwargs)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    made = Gate()
    monkeypatch.setattr(approving, "export_case", made)
    return made


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> ReviewFolder:
    return make_folder(tmp_path, cases=3)


def begun(folder: ReviewFolder) -> ReviewSession:
    session = ReviewSession(folder, reviewer="ana")
    session.set_delta(0.05)
    session.accept()
    return session


def kinds(folder: ReviewFolder, case_id: str) -> list[str]:
    chain = read_chain(folder.journals, "ana")
    return [action.kind for action in chain.of_case(case_id)]


def test_another_case_is_decided_while_the_mask_is_written(folder, gate, pool) -> None:
    session = begun(folder)
    first, corrected = session.case_id, session.corrected.copy()
    pending = session.save(pool)
    session.next_case()
    session.accept()
    assert not pending.result.done()
    assert kinds(folder, first)[-1] == "approve"
    gate.go.set()
    session.settle()
    assert kinds(folder, first)[-2:] == ["approve", "export"]
    assert session.status(first).status == "approved"
    np.testing.assert_array_equal(read_labels(pending.report().path).indices, corrected)
    session.settle()
    session.close()
    assert kinds(folder, first).count("export") == 1
    report = replay(folder, verify=True)
    assert report.ok
    assert sum(len(case.exports) for case in report.cases) == 1


@pytest.mark.parametrize("act", ["undo", "edit", "accept_remaining", "lock", "unapprove"])
def test_what_is_done_to_the_case_itself_comes_after_its_export(folder, gate, pool, act) -> None:
    session = begun(folder)
    case_id, saved = session.case_id, session.corrected.copy()
    pending = session.save(pool)
    threading.Timer(0.05, gate.go.set).start()
    if act == "edit":
        session.edit(np.True_, 1, (slice(0, 3),) * 3)
    else:
        getattr(session, act)()
    found = kinds(folder, case_id)
    assert found.index("export") == len(found) - 2
    np.testing.assert_array_equal(read_labels(pending.report().path).indices, saved)
    session.close()
    assert replay(folder, verify=True).ok


def test_a_case_that_is_opened_again_waits_too(folder, gate, pool) -> None:
    session = begun(folder)
    session.save(pool)
    session.next_case()
    session.previous_case()
    threading.Timer(0.05, gate.go.set).start()
    session.edit(np.True_, 1, (slice(0, 3),) * 3)
    assert kinds(folder, session.case_id)[-2:] == ["export", "edit"]
    session.close()
    assert replay(folder, verify=True).ok


def test_only_one_mask_at_a_time(folder, gate, pool) -> None:
    session = begun(folder)
    session.save(pool)
    session.next_case()
    session.accept()
    threading.Timer(0.05, gate.go.set).start()
    session.save(pool)
    assert "export" in kinds(folder, session.case_ids[0])
    session.close()
    assert all("export" in kinds(folder, i) for i in session.case_ids[:2])


def test_closing_waits_for_the_mask(folder, gate, pool) -> None:
    session = begun(folder)
    case_id = session.case_id
    pending = session.save(pool)
    threading.Timer(0.05, gate.go.set).start()
    session.close()
    assert pending.result.done()
    assert kinds(folder, case_id)[-1] == "export"


@pytest.mark.parametrize("moved_on", [True, False])
def test_a_case_whose_mask_was_not_written_is_not_approved(folder, gate, pool, moved_on) -> None:
    session = begun(folder)
    case_id = session.case_id
    gate.error = InputError("the disk is full")
    pending = session.save(pool)
    if moved_on:
        session.next_case()
    gate.go.set()
    session.settle()
    with pytest.raises(InputError, match="the disk is full"):
        pending.report()
    assert kinds(folder, case_id)[-2:] == ["approve", "unapprove"]
    assert session.status(case_id).status == "open"
    assert not session.is_approved
    session.close()
    again = ReviewSession(folder, reviewer="ana", case_id=case_id)
    assert not again.is_approved
    again.close()
