"""The report of a review: a page with pictures, a table and JSON."""

from __future__ import annotations

import csv
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from napari_relabel._version import __version__
from napari_relabel.core.progress import Progress
from napari_relabel.io import pictures
from napari_relabel.io.atomic import atomic_path, write_json
from napari_relabel.review.accounting import CaseAccount, account_for, minutes_without
from napari_relabel.review.audit_report import audits_in_html, audits_in_words, minute
from napari_relabel.review.audit_results import audit_reports
from napari_relabel.review.chain import read_chain, reviewers
from napari_relabel.review.changes import Mask
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.records import file_name
from napari_relabel.review.state import CaseState
from napari_relabel.review.timekeeping import MINUTES

_COLUMNS = (
    "case",
    "reviewer",
    "status",
    "by rule",
    "changed voxels",
    "changed ml",
    "Dice to given",
    "accepted",
    "rejected",
    "edited",
    "flips",
    "sizes",
    "rules",
    "flagged",
    "minutes",
    "last",
    "audits",
)
#: Where a spreadsheet would see a formula begin, also one that separates cells by semicolons.
_FORMULA = re.compile("(^|[;\t\r\n])(\\s*)(?=[-=+@\uff1d\uff0b\uff0d\uff20])")
_STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; max-width: 75em }
table { border-collapse: collapse } td, th { padding: .2em .7em; text-align: left;
border-bottom: 1px solid #ccc; vertical-align: top } img { max-width: 100% }
.flip { color: #555 } h2 { margin-top: 2em }
"""


@dataclass(frozen=True)
class ReviewReport:
    """What was written.

    Parameters
    ----------
    page, table, values : Path
        HTML, CSV and JSON.
    cases : int
        Cases that somebody worked on.
    changed : int
        Voxels changed, over all reviewers.
    """

    page: Path
    table: Path
    values: Path
    cases: int
    changed: int

    def __str__(self) -> str:
        many = "" if self.cases == 1 else "s"
        return f"{self.cases} case{many}, {self.changed:,} voxels changed: {self.page}"


def iter_report(
    folder: ReviewFolder, out: Path | str, reviewer: str | None = None
) -> Generator[Progress, None, ReviewReport]:
    """Write who changed what, when and why.

    Parameters
    ----------
    folder : ReviewFolder
        The review.
    out : Path or str
        Folder for ``report.html``, ``report.csv``, ``report.json`` and ``pictures/``; reports that
        are there are replaced.
    reviewer : str, optional
        Only this one's work; default: everyone's.

    Yields
    ------
    Progress
        Before every case.

    Returns
    -------
    ReviewReport

    Raises
    ------
    ReviewError, JournalError, OutputError
        If given labels have changed, a journal is damaged, or it cannot be written.
    """
    out = Path(out)
    names = [reviewer] if reviewer is not None else list(reviewers(folder.journals, strict=True))
    audits = [a for a in audit_reports(folder) if a.audit.of in names]
    chains = [(name, read_chain(folder.journals, name)) for name in names]
    accounts: list[CaseAccount] = []
    shown: dict[int, str] = {}
    for i, case_id in enumerate(folder.review_ids):
        yield Progress(i, len(folder.review_ids), case_id)
        for name, chain in chains:
            found = account_for(folder, chain, name, case_id, audits)
            if found is None:
                continue
            account, state = found
            if account.changed:
                # Numbered, as two names may give one file name.
                number = f"{len(accounts):05d}"
                picture = f"pictures/{number}-{file_name(case_id)}-{file_name(name)}.png"
                (out / "pictures").mkdir(parents=True, exist_ok=True)
                _draw(folder, account, state, out / picture)
                shown[len(accounts)] = picture
            accounts.append(account)
    out.mkdir(parents=True, exist_ok=True)
    rows = [_row(account) for account in accounts]
    report = ReviewReport(
        page=out / "report.html",
        table=out / "report.csv",
        values=out / "report.json",
        cases=len({account.case_id for account in accounts}),
        changed=sum(account.changed for account in accounts),
    )
    summary = _summary(folder, accounts)
    summary["minutes on cases without a decision"] = round(minutes_without(chains, accounts), 1)
    if missing := [warning for _, chain in chains for warning in chain.warnings]:
        summary["missing"] = missing
    values = {**summary, "audits": [audit.to_json() for audit in audits]}
    write_json(report.values, {**values, "cases": [account.to_json() for account in accounts]})
    with atomic_path(report.table) as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerows([_harmless(value) for value in row] for row in rows)
    with atomic_path(report.page) as path:
        path.write_text(
            _page(folder, summary, rows, shown, audits_in_html(audits)), encoding="utf-8"
        )
    return report


def _summary(folder: ReviewFolder, accounts: Sequence[CaseAccount]) -> dict[str, Any]:
    volumes = [a.changed_ml for a in accounts if a.changed_ml is not None]
    dice = [a.record["dice_to_given"] for a in accounts]
    return {
        "tool": "napari-relabel",
        "version": __version__,
        "review": folder.path.name,
        "cases in the review": len(folder.review_ids),
        "cases worked on": len({a.case_id for a in accounts}),
        "approved": sum(a.record["approved"] for a in accounts),
        "flagged": sum(a.flagged or bool(a.flagged_proposals) for a in accounts),
        "reviewers": sorted({a.reviewer for a in accounts}),
        "changed voxels": sum(a.changed for a in accounts),
        "changed ml": round(sum(volumes), 3) if volumes else None,
        "mean Dice to given": round(float(np.mean(dice)), 4) if dice else None,
        "minutes": round(sum(a.minutes for a in accounts), 1),
    }


def _row(account: CaseAccount) -> list[str]:
    record = account.record
    voxels = record["voxels"]
    flips: dict[str, int] = {}
    for kind in ("accepted", "edited"):
        for change, n in voxels[kind].items():
            source, target = change.split(">")
            if source != target:
                flips[change] = flips.get(change, 0) + n
    rules = {
        f"{s['rule']} > {s['delta']:g} ({s['method']}, model {(s['model_hash'] or '-')[:8]})"
        for s in record["settings"]
        if s["rule"] is not None and s["kind"] in ("accept", "reject")
    }
    unit = "voxels" if account.changed_ml is None else "ml"
    return [
        account.case_id,
        account.reviewer,
        f"approved {minute(account.approved_at)}" if account.approved_at else "begun",
        "yes" if record["automatic"] else "",
        str(account.changed),
        "" if account.changed_ml is None else f"{account.changed_ml:.3f}",
        f"{record['dice_to_given']:.4f}",
        *(str(sum(voxels[kind].values())) for kind in ("accepted", "rejected", "edited")),
        ", ".join(f"{change.replace('>', ' to ')}: {n}" for change, n in sorted(flips.items())),
        ", ".join(f"{k}: {a:g} to {b:g} {unit}" for k, (a, b) in account.volumes.items()),
        "; ".join(sorted(rules)),
        _flags(account),
        f"{account.minutes:.1f}",
        minute(account.last),
        audits_in_words(record["audits"]),
    ]


def _flags(account: CaseAccount) -> str:
    """What is to be looked at again, and where."""
    places = [
        f"{flag['text'] or 'proposal'} at {', '.join(map(str, flag['voxel']))}"
        for flag in account.flagged_proposals
    ]
    return "; ".join(["case"] * account.flagged + places)


def _harmless(value: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return _FORMULA.sub(r"\1\2'", value)


def _page(
    folder: ReviewFolder,
    summary: dict[str, Any],
    rows: list[list[str]],
    shown: dict[int, str],
    audits: str,
) -> str:
    title = f"Review {escape(folder.path.name)}"
    facts = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(_text(value))}</td></tr>"
        for name, value in summary.items()
        if value is not None
    )
    head = "".join(f"<th>{escape(name)}</th>" for name in _COLUMNS)
    body = "".join(f"<tr>{''.join(f'<td>{escape(v)}</td>' for v in row)}</tr>" for row in rows)
    flips = _COLUMNS.index("flips")
    drawn = "".join(
        f"<h3>{escape(rows[i][0])}, {escape(rows[i][1])}</h3>"
        f'<p class="flip">{escape(rows[i][flips])}</p><img src="{escape(name)}" alt="">'
        for i, name in shown.items()
    )
    return (
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><h1>{title}</h1><table>{facts}</table>"
        f"<h2>Cases</h2><p>{MINUTES}</p><table><tr>{head}</tr>{body}</table>{audits}"
        "<h2>Changes</h2><p>Given labels are drawn in blue, corrected ones in green; in 3D the "
        f"slice with most changes is shown.</p>{drawn}</html>\n"
    )


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _draw(folder: ReviewFolder, account: CaseAccount, state: CaseState, path: Path) -> None:
    difference = state.given != state.corrected
    at = _most_changed(difference)
    given, corrected = state.given[at], state.corrected[at]
    image = folder.load_image(account.case_id)
    plain = np.full((*given.shape, 3), 40, np.uint8)
    if image is not None:
        data = image.data
        if image.channel_axis is not None:
            data = np.moveaxis(data, image.channel_axis, -1)
            data = data[..., :3] if data.shape[-1] in (3, 4) else data[..., 0]
        plain = pictures.to_rgb(data[at])
    outlines = pictures.contour(plain, given, pictures.BLUE)
    panels = [
        pictures.Panel(plain, "image"),
        pictures.Panel(pictures.fill(plain, difference[at], pictures.ORANGE), "changed"),
        pictures.Panel(pictures.contour(outlines, corrected, pictures.GREEN), "given, corrected"),
    ]
    pictures.save_rows(path, [panels], [f"{account.case_id}, {account.reviewer}"])


def _most_changed(difference: Mask) -> tuple[slice | int, ...]:
    """All of a picture; of a volume the slice with most changes, across its shortest axis."""
    everything: list[slice | int] = [slice(None)] * difference.ndim
    if difference.ndim == 3:
        axis = int(np.argmin(difference.shape))
        others = tuple(a for a in range(3) if a != axis)
        everything[axis] = int(difference.sum(axis=others).argmax())
    return tuple(everything)
