"""The same masks again from the journals alone, compared with what was exported."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from napari_relabel.io.errors import InputError
from napari_relabel.io.exportchunked import rows
from napari_relabel.io.hashing import file_sha256
from napari_relabel.io.lazy import LazyLabels, open_labels
from napari_relabel.io.volume import LabelVolume, read_labels
from napari_relabel.review.chain import Action, Chain, read_chain, reviewers
from napari_relabel.review.chunkstate import ChunkedState
from napari_relabel.review.errors import JournalError
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.history import restore
from napari_relabel.review.journalfile import REMEDY
from napari_relabel.review.provenance import indices_sha256

Verdict = Literal["same", "differs", "missing"]


@dataclass(frozen=True)
class ReplayedExport:
    """An exported mask compared with what its journal gives.

    Parameters
    ----------
    file : Path
        The mask.
    verdict : {"same", "differs", "missing"}
        Same: the file and every voxel in it are what the journal gives, bit for bit.
    detail : str
        What differs, or empty.
    """

    file: Path
    verdict: Verdict
    detail: str


@dataclass(frozen=True)
class ReplayedCase:
    """A case rebuilt from the journals of one reviewer.

    Parameters
    ----------
    case_id, reviewer : str
        Which case, whose decisions.
    actions : int
        Actions on it.
    decided : int
        Voxels decided.
    changed : int
        Voxels that differ from the given labels.
    indices_sha256 : str
        Hash of the corrected class indices.
    exports : tuple of ReplayedExport
        The last export to each place; empty without `verify`.
    """

    case_id: str
    reviewer: str
    actions: int
    decided: int
    changed: int
    indices_sha256: str
    exports: tuple[ReplayedExport, ...]


@dataclass(frozen=True)
class ReplayReport:
    """All cases rebuilt.

    Parameters
    ----------
    cases : tuple of ReplayedCase
        One per case and reviewer with actions on it.
    """

    cases: tuple[ReplayedCase, ...]

    @property
    def ok(self) -> bool:
        """Whether every export that was compared is the same."""
        return all(export.verdict == "same" for case in self.cases for export in case.exports)

    def __str__(self) -> str:
        exports = [export for case in self.cases for export in case.exports]
        same = sum(export.verdict == "same" for export in exports)
        lines = [f"rebuilt {len(self.cases)} cases, {same} of {len(exports)} exports the same"]
        lines += [f"{e.file}: {e.verdict} {e.detail}" for e in exports if e.verdict != "same"]
        return "\n".join(lines)


def replay(
    folder: ReviewFolder, *, verify: bool = False, reviewer: str | None = None
) -> ReplayReport:
    """Rebuild the masks from the given labels and the journals, and nothing else.

    Parameters
    ----------
    folder : ReviewFolder
        The review; its estimates are not needed.
    verify : bool
        Compare every exported mask, as the journal says it was exported, with what the actions
        before that give.
    reviewer : str, optional
        Whose decisions; default: everyone's.

    Returns
    -------
    ReplayReport

    Raises
    ------
    ReviewError, JournalError
        If given labels have changed, or a journal is damaged.
    """
    found: list[ReplayedCase] = []
    for name in [reviewer] if reviewer is not None else reviewers(folder.journals):
        chain = read_chain(folder.journals, name)
        for case in folder.cases:
            actions = chain.of_case(case.id)
            if actions:
                found.append(_replay_case(folder, chain, case.id, actions, name, verify))
    return ReplayReport(tuple(found))


def _replay_case(
    folder: ReviewFolder,
    chain: Chain,
    case_id: str,
    actions: tuple[Action, ...],
    reviewer: str,
    verify: bool,
) -> ReplayedCase:
    rebuild: Callable[[Sequence[Action]], _Rebuilt]
    if folder.is_chunked(case_id):
        folder.check_unchanged(case_id)
        rebuild = partial(_OnDisk, folder.open_labels(case_id), case_id)
    else:
        rebuild = partial(_InMemory, folder.load_labels(case_id), case_id)
    mask = rebuild(actions)
    exports: list[ReplayedExport] = []
    if verify:
        for action, note in _last_exports(folder, actions):
            earlier = {a.id for a in chain.up_to(action.id)}
            before = [a for a in actions if a.id in earlier]
            exports.append(_compare(_file(folder, note), rebuild(before), note))
    return ReplayedCase(
        case_id=case_id,
        reviewer=reviewer,
        actions=len(actions),
        decided=mask.decided,
        changed=mask.changed,
        indices_sha256=mask.digest,
        exports=tuple(exports),
    )


class _Rebuilt(Protocol):
    """A mask as the journal gives it."""

    decided: int
    changed: int
    digest: str

    def same_as(self, file: Path) -> bool:
        """Whether a file holds it; InputError where it cannot be read."""


class _InMemory:
    def __init__(self, labels: LabelVolume, case_id: str, actions: Sequence[Action]) -> None:
        state, _ = restore(labels, actions, case_id)
        self._labels, self._corrected = labels, state.corrected
        self.decided = state.decided
        self.changed = int(np.count_nonzero(state.corrected != state.given))
        self.digest = indices_sha256(state.corrected)

    def same_as(self, file: Path) -> bool:
        written = read_labels(file, values=self._labels.values)
        return np.array_equal(written.indices, self._corrected)


class _OnDisk:
    def __init__(self, labels: LazyLabels, case_id: str, actions: Sequence[Action]) -> None:
        self._labels = labels
        self._state = ChunkedState(labels, rows(labels.grid), actions, case_id)
        self.decided = self.changed = 0
        digest = hashlib.sha256()
        for _, state in self._state.states():
            self.decided += state.decided
            self.changed += int(np.count_nonzero(state.corrected != state.given))
            digest.update(np.ascontiguousarray(state.corrected).data)
        self.digest = digest.hexdigest()

    def same_as(self, file: Path) -> bool:
        written = open_labels(file, self._labels.values)
        return written.grid == self._labels.grid and all(
            np.array_equal(written.indices(box), state.corrected)
            for box, state in self._state.states()
        )


def _last_exports(
    folder: ReviewFolder, actions: Iterable[Action]
) -> list[tuple[Action, dict[str, Any]]]:
    last: dict[Path, tuple[Action, dict[str, Any]]] = {}
    for action in actions:
        if action.kind == "export" and action.note is not None:
            note = json.loads(action.note)
            if not all(isinstance(note.get(name), str) for name in _NOTED):
                raise JournalError(
                    f"{action.path} is damaged (action {action.seq} is incomplete): {REMEDY}"
                )
            last[_file(folder, note)] = (action, note)
    return list(last.values())


_NOTED = ("file", "file_sha256", "indices_sha256")


def _file(folder: ReviewFolder, note: dict[str, Any]) -> Path:
    return folder.noted(note["file"], note.get("moves"))


def _compare(file: Path, mask: _Rebuilt, note: dict[str, Any]) -> ReplayedExport:
    if mask.digest != note["indices_sha256"]:
        return ReplayedExport(file, "differs", "the journal gives another mask than was exported")
    if not file.exists():
        return ReplayedExport(file, "missing", "it was moved or deleted")
    try:
        same = mask.same_as(file)
    except InputError as error:
        return ReplayedExport(file, "differs", str(error))
    if not same:
        return ReplayedExport(file, "differs", "the file holds other labels")
    if file_sha256(file) != note["file_sha256"]:
        return ReplayedExport(file, "differs", "the labels are the same but the file is not")
    return ReplayedExport(file, "same", "")
