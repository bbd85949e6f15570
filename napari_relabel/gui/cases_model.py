"""The cases of a review as a table model: cells are made when they are looked at."""

from __future__ import annotations

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from qtpy.QtGui import QFont
from qtpy.QtWidgets import QWidget

from napari_relabel.gui.listing import Listing
from napari_relabel.gui.parts import FLAG
from napari_relabel.review.arranging import COLUMNS, Column, Score, score_of
from napari_relabel.review.queue import CaseStatus, Status

Index = QModelIndex | QPersistentModelIndex

MARK: dict[Status, str] = {"new": "○", "open": "◐", "approved": "●"}
STATUS: dict[Status, str] = {"new": "new", "open": "begun", "approved": "approved"}
TITLES: dict[Column, str] = {
    "case": "Case",
    "status": "Status",
    "score": "Score",
    "open": "Open",
    "changed": "Changed",
    "ml": "ml",
    "reviewer": "Reviewers",
    "time": "Time",
}
SCORE_TITLES: dict[Score, str] = {
    "expected_wrong": "Expected wrong",
    "mean": "Mean U",
    "top": "Top 1 % of U",
    "maximum": "Maximum U",
}
_TIPS: dict[Column, str] = {
    "case": "Name of the case; the open one is bold",
    "status": "○ new, ◐ begun, ● approved, ⚑ flagged",
    "score": "What a reviewer would gain from it, by the estimate",
    "open": "Proposals that were open when the case was left",
    "changed": "Voxels whose label is another one now",
    "ml": "Volume of these voxels, where the size of a voxel is known",
    "reviewer": "Everyone who worked on it",
    "time": "Time you spent on it, without pauses of over a minute",
}
_NUMBERS = ("score", "open", "changed", "ml", "time")


class CasesModel(QAbstractTableModel):
    """The listed cases, one a row.

    Parameters
    ----------
    listing : Listing
        What is shown.
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, listing: Listing, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._listing = listing
        self._bold = QFont()
        self._bold.setBold(True)
        listing.rearranged.connect(self._reset)
        listing.updated.connect(self._update)

    def case(self, row: int) -> CaseStatus | None:
        """The case in a row."""
        return self._listing.case(row) if 0 <= row < len(self._listing.ids) else None

    def rowCount(self, parent: Index | None = None) -> int:
        """Number of listed cases."""
        return 0 if parent is not None and parent.isValid() else len(self._listing.ids)

    def columnCount(self, parent: Index | None = None) -> int:
        """Number of columns."""
        return len(COLUMNS)

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> object:
        """Titles and their explanations."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = COLUMNS[section]
        if role == Qt.ItemDataRole.DisplayRole:
            score = SCORE_TITLES[self._listing.arrangement.score]
            return score if column == "score" else TITLES[column]
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{_TIPS[column]}\nClick to sort by it"
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Contents, alignment, weight and explanation of a cell."""
        case = self.case(index.row())
        if case is None:
            return None
        column = COLUMNS[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(case, column)
        if role == Qt.ItemDataRole.UserRole:
            return case.case_id
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if column in _NUMBERS else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.FontRole and case.case_id == self._listing.current:
            return self._bold
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(case)
        return None

    def _text(self, case: CaseStatus, column: Column) -> str:
        if column == "case":
            return f"{MARK[case.status]} {case.case_id}"
        if column == "status":
            marks = [FLAG] * case.flagged + [f"{len(case.flags)} {FLAG}"] * bool(case.flags)
            return " ".join([STATUS[case.status], *marks])
        if column == "score":
            return self._score(case)
        if column == "open":
            return number(case.note.proposals)
        if column == "changed":
            return number(case.note.changed)
        if column == "ml":
            return "" if case.note.changed_ml is None else f"{case.note.changed_ml:,.2f}"
        if column == "reviewer":
            return ", ".join(self._listing.workers(case.case_id))
        return duration(case.note.seconds)

    def _score(self, case: CaseStatus) -> str:
        if case.gain is None:
            return "failed" if case.case_id in self._listing.failures else ""
        score = self._listing.arrangement.score
        value = score_of(case.gain, score)
        if value is None:
            return ""
        return f"{value:,.0f}" if score == "expected_wrong" else f"{value:.3f}"

    def _tip(self, case: CaseStatus) -> str:
        lines = [f"{case.case_id}: {STATUS[case.status]}"]
        if case.flagged:
            lines[0] += ", flagged"
        if case.flags:
            many = "" if len(case.flags) == 1 else "s"
            lines.append(f"{len(case.flags)} flagged proposal{many}")
            lines += [f"{FLAG} {said}" for said in case.flags.values() if said]
        if case.open_voxels is not None:
            lines.append(f"{case.open_voxels:,} voxels open, {case.decided_voxels:,} decided")
        if case.case_id in self._listing.failures:
            lines.append(f"No estimate: {self._listing.failures[case.case_id]}")
        elif case.gain is None:
            lines.append("No estimate yet")
        return "\n".join(lines)

    def _reset(self) -> None:
        self.beginResetModel()
        self.endResetModel()

    def _update(self, case_id: str) -> None:
        row = self._listing.row(case_id)
        if row is not None:
            self.dataChanged.emit(self.index(row, 0), self.index(row, len(COLUMNS) - 1))


def number(value: int | None) -> str:
    """A number, or nothing where it is not known."""
    return "" if value is None else f"{value:,}"


def duration(seconds: float) -> str:
    """A time as minutes and seconds, or hours and minutes; nothing for none."""
    if seconds < 1:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d}"
    return f"{minutes // 60} h {minutes % 60:02d}"
