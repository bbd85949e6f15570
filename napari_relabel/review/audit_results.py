"""What audits found: error rates with their intervals, by reviewer and together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from napari_relabel.core.agreement import kappa
from napari_relabel.core.audit import ErrorRate, error_in_voxels, error_rate, wrong_in_all
from napari_relabel.core.sampling import most_wrong
from napari_relabel.review.audit import Audit, find_audit, read_audits
from napari_relabel.review.bulk import Unit
from napari_relabel.review.chain import Action, read_chain
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.verdicts import Verdicts, read_verdicts

#: What of an audit was reopened: the decisions, or only what was found wrong.
Scope = Literal["all", "wrong"]


@dataclass(frozen=True)
class AuditResult:
    """An audit as one reviewer judged it, or all of them together.

    Parameters
    ----------
    reviewer : str
        Who.
    judged, wrong : int
        Proposals of the sample that were judged, and those found wrong. Together, those on which
        all agree who judged them.
    proposals, voxels : ErrorRate
        Share of wrong proposals, and of wrong voxels, among all that was accepted in bulk. What was
        not judged, or is disputed, counts as right at the lower end and as wrong at the upper one.
    passed : bool or None
        Whether the upper end for the proposals is within what is allowed; None while that depends
        on what is not judged yet.
    """

    reviewer: str
    judged: int
    wrong: int
    proposals: ErrorRate
    voxels: ErrorRate
    passed: bool | None


@dataclass(frozen=True)
class AuditReport:
    """All that is known of an audit.

    Parameters
    ----------
    audit : Audit
        The audit.
    verdicts : mapping of str to mapping
        What each reviewer said.
    results : tuple of AuditResult
        One per reviewer who judged something.
    together : AuditResult or None
        Of several reviewers: proposals on which they differ count either way.
    kappa : float or None
        Cohen's kappa of two reviewers over the proposals that both judged.
    disputed : tuple of str
        Names of the proposals on which reviewers differ.
    reopened : tuple of {"all", "wrong"}
        What was reopened because of it, and stands.
    """

    audit: Audit
    verdicts: Mapping[str, Verdicts]
    results: tuple[AuditResult, ...]
    together: AuditResult | None
    kappa: float | None
    disputed: tuple[str, ...]
    reopened: tuple[Scope, ...]

    @property
    def outcome(self) -> AuditResult | None:
        """The result that counts: of all reviewers together; None where nobody judged yet."""
        return self.together or (self.results[0] if self.results else None)

    @property
    def passed(self) -> bool | None:
        """Whether the decisions pass; None while it is open."""
        return None if self.outcome is None else self.outcome.passed

    @property
    def state(self) -> str:
        """In one word or a few."""
        state = {True: "passed", False: "failed", None: "not finished"}[self.passed]
        said = set().union(*self.verdicts.values())
        if self.passed is None and all(unit.name in said for unit in self.audit.drawn):
            state = "disputed"
        return f"{state}, reopened" if "all" in self.reopened else state

    @property
    def scope(self) -> Scope | None:
        """What should be reopened: all where it failed, else what was found wrong, or nothing."""
        if self.passed is None or "all" in self.reopened:
            return None
        if not self.passed:
            return "all"
        return "wrong" if "wrong" not in self.reopened and self.to_reopen("wrong") else None

    def why(self, scope: Scope, by: str) -> dict[str, Any]:
        """What the journal notes of a reopening."""
        return {"audit": self.audit.id, "scope": scope, "by": by}

    def to_reopen(self, scope: Scope) -> list[Unit]:
        """Proposals to reopen: those that someone found wrong, or all but those found right.

        A proposal that all who judged it found right was looked at by hand and stays.
        """
        said = _by_proposal(self.verdicts)
        if scope == "wrong":
            return [u for u in self.audit.drawn if not all(said.get(u.name, [True]))]
        return [u for u in self.audit.frame if not all(said.get(u.name, [False]))]

    def to_json(self) -> dict[str, Any]:
        """As JSON values, without the frame."""
        audit = self.audit
        return {
            "audit": audit.id,
            "time": audit.time,
            "drawn by": audit.drawn_by,
            "decisions of": audit.of,
            "cases": len(audit.case_ids),
            "proposals": len(audit.frame),
            "voxels": sum(unit.voxels for unit in audit.frame),
            "sample": len(audit.sample),
            "allowed": audit.allowed,
            "confidence": audit.level,
            "earlier": list(audit.earlier),
            "results": [asdict(result) for result in self.results],
            "together": None if self.together is None else asdict(self.together),
            "kappa": self.kappa,
            "disputed": list(self.disputed),
            "state": self.state,
            "reopened": list(self.reopened),
        }

    def __str__(self) -> str:
        audit = self.audit
        lines = [
            f"audit {audit.id}: {len(audit.sample):,} of {len(audit.frame):,} proposals accepted "
            f"in bulk by {audit.of} in {len(audit.case_ids):,} cases; {self.state}"
        ]
        lines += [_line(audit, result) for result in self.results]
        if self.together is not None:
            lines.append(_line(audit, self.together))
            agree = "" if self.kappa is None else f", kappa {self.kappa:.2f}"
            lines.append(f"  they differ on {len(self.disputed)}{agree}")
        if audit.earlier:
            lines.append(f"  audited before by {', '.join(audit.earlier)}: hence the confidence")
        return "\n".join(lines)


def audit_reports(folder: ReviewFolder) -> tuple[AuditReport, ...]:
    """What all audits of a review found, oldest first.

    Raises
    ------
    ReviewError, JournalError
        If the file of an audit or a journal is damaged or of a newer version.
    """
    audits = read_audits(folder)
    verdicts = read_verdicts(folder) if audits else {}
    reopened = {
        name: _reopened(read_chain(folder.journals, name).actions)
        for name in {audit.of for audit in audits}
    }
    return tuple(
        report_of(audit, verdicts.get(audit.id, {}), reopened[audit.of].get(audit.id, ()))
        for audit in audits
    )


def report_on(folder: ReviewFolder, audit_id: str) -> AuditReport:
    """What one audit found; ReviewError where there is none of that id."""
    find_audit(folder, audit_id)
    return next(r for r in audit_reports(folder) if r.audit.id == audit_id)


def report_of(
    audit: Audit, verdicts: Mapping[str, Verdicts], reopened: Sequence[Scope] = ()
) -> AuditReport:
    """What an audit found, from what its reviewers said."""
    said = _by_proposal(verdicts)
    together, agreement = None, None
    if len(verdicts) > 1:
        agreed = {name: all_of[0] for name, all_of in said.items() if len(set(all_of)) == 1}
        together = result_of(audit, " and ".join(verdicts), agreed)
    if len(verdicts) == 2:
        one, other = verdicts.values()
        both = sorted(one.keys() & other.keys())
        agreement = kappa(
            np.array([one[n] for n in both], bool), np.array([other[n] for n in both], bool)
        )
    return AuditReport(
        audit,
        verdicts,
        tuple(result_of(audit, name, each) for name, each in verdicts.items()),
        together,
        agreement,
        tuple(name for name, all_of in said.items() if len(set(all_of)) > 1),
        tuple(reopened),
    )


def result_of(audit: Audit, reviewer: str, verdicts: Verdicts) -> AuditResult:
    """The result of an audit by one set of verdicts."""
    known = {unit.name: i for i, unit in zip(audit.sample, audit.drawn, strict=True)}
    judged = np.zeros(len(audit.frame), np.bool_)
    wrong = judged.copy()
    for name, right in verdicts.items():
        if name in known:
            judged[known[name]], wrong[known[name]] = True, not right
    n, total = len(audit.sample), len(audit.frame)
    m, k = int(judged.sum()), int(wrong.sum())
    counts = wrong_in_all(k, k + n - m, n, total, audit.level)
    most = most_wrong(n, total, audit.allowed, audit.level)
    passed: bool | None = None
    if most is None or k > most:
        passed = False
    elif k + n - m <= most:
        passed = True
    sizes = np.array([unit.voxels for unit in audit.frame], np.int64)
    return AuditResult(
        reviewer,
        m,
        k,
        error_rate(k, m, n, total, audit.level),
        error_in_voxels(sizes, judged, wrong, counts),
        passed,
    )


def _by_proposal(verdicts: Mapping[str, Verdicts]) -> dict[str, list[bool]]:
    said: dict[str, list[bool]] = {}
    for each in verdicts.values():
        for name, right in each.items():
            said.setdefault(name, []).append(right)
    return said


def _reopened(actions: Sequence[Action]) -> dict[str, tuple[Scope, ...]]:
    """What stands reopened because of each audit, in any of its cases."""
    undone: dict[str, bool] = {}
    for action in actions:
        if action.kind in ("undo", "redo") and action.target is not None:
            undone[action.target] = action.kind == "undo"
    found: dict[str, dict[Scope, None]] = {}
    for action in actions:
        if action.kind == "reopen" and action.note is not None and not undone.get(action.id):
            note = json.loads(action.note)
            found.setdefault(note.get("audit"), {})[note.get("scope")] = None
    return {audit: tuple(scopes) for audit, scopes in found.items()}


def _line(audit: Audit, result: AuditResult) -> str:
    verdict = {True: "passes", False: "fails", None: "not decided yet"}[result.passed]
    return (
        f"  {result.reviewer}: {result.wrong} of {result.judged} judged wrong; of all proposals "
        f"{result.proposals}, of their voxels {result.voxels}, {100 * audit.level:g} % confidence; "
        f"{verdict} at {100 * audit.allowed:g} %"
    )
