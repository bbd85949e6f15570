"""Drawing audits: what was accepted in bulk, a random sample of it, and both checked again."""

from __future__ import annotations

import secrets
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from napari_relabel.core.audit import level_of
from napari_relabel.core.progress import Progress
from napari_relabel.core.sampling import EXPECTED, drawn, most_wrong, proposed_size, size_for_width
from napari_relabel.io.hashing import file_sha256
from napari_relabel.review.audit import ALLOWED, Audit, audit_path, read_audits, write_audit
from napari_relabel.review.audit_results import AuditReport, audit_reports
from napari_relabel.review.bulk import Unit, cases_with_bulk, standing_units
from napari_relabel.review.chain import Chain, read_chain, reviewers
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.history import restore
from napari_relabel.review.verdicts import VerdictBook, drawn_hashes


@dataclass(frozen=True)
class Frame:
    """What an audit is drawn from.

    Parameters
    ----------
    of : str
        Whose decisions.
    units : tuple of Unit
        Proposals that stand accepted in bulk.
    heads : tuple of str
        Last actions of that reviewer.
    earlier : tuple of str
        Audits of some of these decisions that were drawn before.
    """

    of: str
    units: tuple[Unit, ...]
    heads: tuple[str, ...]
    earlier: tuple[str, ...]

    @property
    def level(self) -> float:
        """Confidence of the interval of an audit of it."""
        return level_of(len(self.earlier))

    def proposed_size(self, allowed: float = ALLOWED) -> int:
        """Proposals to draw, see `napari_relabel.core.sampling.proposed_size`."""
        return proposed_size(len(self.units), allowed, level=self.level)

    def size_for_width(self, width: float, allowed: float = ALLOWED) -> int:
        """Proposals to draw for an interval of some width, see `napari_relabel.core.sampling`."""
        return size_for_width(len(self.units), width, EXPECTED * allowed, self.level)

    def most_wrong(self, size: int, allowed: float = ALLOWED) -> int | None:
        """How many of a sample may be wrong; None where it is too small to show anything."""
        return most_wrong(size, len(self.units), allowed, self.level)


@dataclass(frozen=True)
class CheckedAudit:
    """An audit compared with what the journals give.

    Parameters
    ----------
    id : str
        The audit.
    detail : str
        What differs, or empty.
    """

    id: str
    detail: str


def deciders(folder: ReviewFolder) -> tuple[str, ...]:
    """Reviewers who accepted something in bulk, sorted."""
    names = reviewers(folder.journals)
    return tuple(n for n in names if cases_with_bulk(read_chain(folder.journals, n)))


def pick_decider(folder: ReviewFolder, auditor: str, of: str | None = None) -> str:
    """Whose decisions an auditor audits: those of `of`, else the auditor's, else the only ones.

    Raises
    ------
    ReviewError
        If there are none, or of several and none the auditor's.
    """
    known = deciders(folder)
    if of is not None:
        return of
    if not known:
        raise ReviewError(f"nothing was accepted in bulk in {folder.path}: there is no audit")
    if auditor in known:
        return auditor
    if len(known) > 1:
        raise ReviewError(f"say whose decisions: {', '.join(known)} accepted in bulk")
    return known[0]


def iter_frame(
    folder: ReviewFolder, of: str, *, again: bool = False
) -> Generator[Progress, None, Frame]:
    """Collect what a reviewer accepted in bulk, from the journals alone.

    Parameters
    ----------
    folder : ReviewFolder
        The review.
    of : str
        Whose decisions.
    again : bool
        Also what an earlier audit was about. Otherwise decisions that passed an audit or were
        reopened are left out.

    Yields
    ------
    Progress
        Before every case.

    Returns
    -------
    Frame

    Raises
    ------
    ReviewError
        If nothing stands accepted in bulk, or an audit of it is not finished or failed.
    JournalError
        If a journal is damaged.
    """
    chain = read_chain(folder.journals, of)
    reports = [r for r in audit_reports(folder) if r.audit.of == of]
    done = {a for r in reports if r.passed or "all" in r.reopened for a in r.audit.actions}
    units = yield from _iter_units(folder, chain)
    if not again:
        units = [unit for unit in units if unit.action not in done]
    if not units:
        raise ReviewError(
            f"nothing of what {of} accepted in bulk in {folder.path} is left to audit"
            + (": all of it was audited or reopened" if done and not again else "")
        )
    actions = {unit.action for unit in units}
    before = [r for r in reports if r.audit.actions & actions]
    if before and not again:
        raise ReviewError(_unsettled(before[-1]))
    # Also those that nobody judged so far: they could be, after this one.
    return Frame(of, tuple(units), chain.heads, tuple(r.audit.id for r in before))


def draw(
    folder: ReviewFolder,
    frame: Frame,
    auditor: str,
    *,
    allowed: float = ALLOWED,
    size: int | None = None,
    seed: str | None = None,
) -> Audit:
    """Draw a sample and record it with its frame before anyone sees it.

    Parameters
    ----------
    folder : ReviewFolder
        The review.
    frame : Frame
        From `iter_frame`.
    auditor : str
        Who draws.
    allowed : float
        Largest share of wrong proposals with which the decisions pass, in [0, 1].
    size : int, optional
        Proposals to draw; default: see `Frame.proposed_size`.
    seed : str, optional
        Default: a random one.

    Returns
    -------
    Audit

    Raises
    ------
    ReviewError
        If the sample is larger than the frame, or too small for any outcome to pass.
    OutputError, JournalError
        If it cannot be written.
    """
    if not 0 <= allowed <= 1:
        raise ReviewError(f"the allowed share of errors must be in 0..1, not {allowed}")
    total = len(frame.units)
    size = frame.proposed_size(allowed) if size is None else size
    if not 1 <= size <= total:
        raise ReviewError(f"draw 1 to {total:,} of the {total:,} proposals, not {size:,}")
    if frame.most_wrong(size, allowed) is None:
        raise ReviewError(
            f"{size:,} of {total:,} proposals cannot show that at most {100 * allowed:g} % are "
            f"wrong, even without an error: draw {frame.proposed_size(allowed):,}"
        )
    seed = secrets.token_hex(16) if seed is None else seed
    now = datetime.now(UTC)
    audit = Audit(
        id=f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
        time=now.isoformat(timespec="seconds"),
        drawn_by=auditor,
        of=frame.of,
        allowed=allowed,
        seed=seed,
        heads=frame.heads,
        frame=frame.units,
        sample=tuple(drawn([unit.name for unit in frame.units], size, seed)),
        level=frame.level,
        earlier=frame.earlier,
    )
    write_audit(folder, audit)
    book = VerdictBook(folder, auditor)
    try:
        book.note_drawn(audit)
    finally:
        book.close()
    return audit


def iter_check(folder: ReviewFolder) -> Generator[Progress, None, tuple[CheckedAudit, ...]]:
    """Make every frame and sample again, from the journals and the seeds.

    Parameters
    ----------
    folder : ReviewFolder
        The review.

    Yields
    ------
    Progress
        Before every case of every audit.

    Returns
    -------
    tuple of CheckedAudit

    Raises
    ------
    ReviewError, JournalError
        If given labels have changed, or a file is damaged.
    """
    audits = read_audits(folder)
    hashes = drawn_hashes(folder)
    found: list[CheckedAudit] = []
    for i, audit in enumerate(audits):
        detail = ""
        if hashes.get(audit.id) != file_sha256(audit_path(folder, audit.id)):
            detail = "its file is not the one that was drawn"
        else:
            chain = read_chain(folder.journals, audit.of)
            if {a.id for a in chain.actions} >= set(audit.heads):
                units = yield from _iter_units(folder, chain.until(audit.heads))
                detail = _differs(audit, units, audits[:i])
            else:
                detail = f"a journal of {audit.of} is missing"
        found.append(CheckedAudit(audit.id, detail))
    return tuple(found)


def _iter_units(folder: ReviewFolder, chain: Chain) -> Generator[Progress, None, list[Unit]]:
    known = set(folder.review_ids)
    case_ids = [case_id for case_id in cases_with_bulk(chain) if case_id in known]
    units: list[Unit] = []
    for i, case_id in enumerate(case_ids):
        yield Progress(i, len(case_ids), case_id)
        actions = chain.of_case(case_id)
        state, history = restore(folder.load_labels(case_id), actions, case_id)
        units += standing_units(case_id, state, history, actions)
    return units


def _differs(audit: Audit, units: Iterable[Unit], before: Iterable[Audit]) -> str:
    settled = {action for other in before if other.of == audit.of for action in other.actions}
    frame = set(audit.frame)
    expected = [unit for unit in units if unit in frame or unit.action not in settled]
    if set(expected) != frame or len(expected) != len(audit.frame):
        return "the journals give another frame"
    names = [unit.name for unit in audit.frame]
    if tuple(drawn(names, len(audit.sample), audit.seed)) != audit.sample:
        return "the seed gives another sample"
    return ""


def _unsettled(report: AuditReport) -> str:
    name = f"audit {report.audit.id} of these decisions"
    if report.passed is None:
        return f"{name} is {report.state}: go on with it, or audit them again"
    return f"{name} failed: reopen them, or audit them again"
