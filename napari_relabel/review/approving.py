"""Approval of the open case and the export of its mask, at once or in another thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from napari_relabel.io.export import ExportReport
from napari_relabel.review.ahead import actions_on
from napari_relabel.review.audit_results import audit_reports
from napari_relabel.review.chain import is_on, read_actions
from napari_relabel.review.export import (
    default_out,
    export_case,
    export_chunked_case,
    export_note,
)
from napari_relabel.review.flagging import ReviewFlagging
from napari_relabel.review.journal import Context, Entry
from napari_relabel.review.parts import concern, place_of

Written = tuple[ExportReport, dict[str, Any]]


@dataclass(frozen=True, eq=False)
class PendingExport:
    """A mask that is being written in another thread.

    Parameters
    ----------
    context : Context
        The case, or the part of one, that was approved with it.
    exported : Context
        The case of the mask.
    result : Future
        What will have been written, and what the journal will keep of it.
    """

    context: Context
    exported: Context
    result: Future[Written]

    @property
    def case_id(self) -> str:
        """What was approved with it."""
        return self.context.case_id

    def report(self) -> ExportReport:
        """What was written; waits for it, and raises what went wrong."""
        return self.result.result()[0]


class ReviewApproving(ReviewFlagging):
    """The part of a `ReviewSession` that says that a case is done; see there."""

    _pending: PendingExport | None = None

    @property
    def is_approved(self) -> bool:
        """Whether the case stands approved: any later change of a voxel withdraws it."""
        return self._case.history.approved

    def approve(self) -> None:
        """Approve the case as it is; undecided proposals keep the given label."""
        self._set_approved(True)

    def unapprove(self) -> None:
        """Withdraw the approval."""
        self._set_approved(False)

    def export(self, out: Path | str | None = None) -> ExportReport:
        """Write the corrected mask of the open case, with a JSON record beside it.

        Where a part of a case is open, the mask is that of all of it.

        Parameters
        ----------
        out : Path or str, optional
            Folder; default: ``exports/<reviewer>`` in the REVIEW folder.

        Returns
        -------
        ExportReport

        Raises
        ------
        InputError
            If it cannot be written, or the given labels have changed; nothing is left behind.
        """
        self.settle()
        report, note = self._writer(out)()
        self._write_all([Entry("export", self._exported(), note=note)])
        return report

    def save(self, pool: Executor, out: Path | str | None = None) -> PendingExport | None:
        """Approve the open case and have its mask written in another thread, see `export`.

        The mask of a case in parts is written once all of them are approved.

        Another case may be opened meanwhile. What is done to the case itself waits until its mask
        is written, and so does `close`.

        Parameters
        ----------
        pool : Executor
            Where it is written.
        out : Path or str, optional
            Folder; default: ``exports/<reviewer>`` in the REVIEW folder.

        Returns
        -------
        PendingExport or None
            For `settle` once it is done: only then the journal has it. Where it could not be
            written, the case is not approved any more. None where parts are left.
        """
        self.settle()
        self.approve()
        if self.parts_left:
            return None
        self._pending = PendingExport(
            self._case.context(None), self._exported(), pool.submit(self._writer(out))
        )
        return self._pending

    @property
    def parts_left(self) -> int:
        """Parts of the open case that are not approved; 0 where it is reviewed as a whole."""
        parts = self.folder.parts(place_of(self.case_id).case_id)
        return sum(self.status(part).status != "approved" for part in parts)

    def settle(self) -> None:
        """Wait for a mask that is being written, and note what became of it."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        wait([pending.result])
        if pending.result.exception() is None:
            _, note = pending.result.result()
            self._write_all([Entry("export", pending.exported, note=note)])
        elif pending.case_id == self.case_id:
            self.unapprove()
        else:
            self._write_all([Entry("unapprove", pending.context)])
            self.status_changed.emit()

    def close(self) -> None:
        """Write everything to the disk and let go of the journal."""
        try:
            self.settle()
        finally:
            super().close()

    # -- within ---------------------------------------------------------------------------------

    def _write_all(self, entries: Sequence[Entry]) -> list[str]:
        pending = self._pending
        if pending is not None and any(
            e.context is not None and concern(e.context.case_id, pending.exported.case_id)
            for e in entries
        ):
            # `replay` takes what comes before an export to be what was exported.
            self.settle()
        return super()._write_all(entries)

    def _exported(self) -> Context:
        """The case whose mask is written."""
        context, case_id = self._case.context(None), place_of(self.case_id).case_id
        if case_id == self.case_id:
            return context
        return Context(case_id, context.base_hash)

    def _writer(self, out: Path | str | None) -> Callable[[], Written]:
        case, folder, reviewer = self._case, self.folder, self.reviewer
        audits = audit_reports(folder)
        place = default_out(folder, reviewer) if out is None else Path(out)
        whole = place_of(case.case_id).case_id
        if whole != case.case_id:
            actions = [*self._chain.of_case(whole)]
            actions += [a for a in read_actions(self._journal.path) if is_on(a, whole)]
            return partial(export_chunked_case, folder, whole, actions, reviewer, place, audits)
        done = actions_on(self.request(case.case_id))

        def write() -> Written:
            report = export_case(
                folder,
                case.labels,
                case.state,
                case.history,
                done,
                case.case_id,
                reviewer,
                place,
                audits,
            )
            return report, export_note(folder, report, case.state)

        return write

    def _set_approved(self, approved: bool) -> None:
        if approved == self.is_approved:
            return
        self._write("approve" if approved else "unapprove", None)
        self._journal.sync()
        self._case.history.approved = approved
        self._case.touch()
        self.status_changed.emit()
