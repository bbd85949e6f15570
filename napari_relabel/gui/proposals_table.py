"""The open proposals as a table, best first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import (
    QAbstractTableModel,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QSize,
    Qt,
)
from qtpy.QtGui import QColor, QIcon, QKeyEvent, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_relabel.core.boxes import Box
from napari_relabel.core.regions import Region, Regions
from napari_relabel.gui.colors import ACCEPTED, REJECTED, transition_color
from napari_relabel.gui.parts import FLAG
from napari_relabel.gui.qt import Signal
from napari_relabel.review.flags import NO_FLAGS
from napari_relabel.review.worklist import RegionState

Index = QModelIndex | QPersistentModelIndex

COLUMNS = ("#", "change", "voxels", "score", "slice", "state")
_TIPS = (
    "Rank: the most Dice to gain first (without probabilities, most score times voxels)",
    "Given class → proposed class",
    "Size of the proposal; + where it reaches the border of this part of the case",
    "Mean score of its voxels",
    "Slices it spans along the axis of the slider",
    "What became of it; the current one is framed on the canvas",
)
#: Least height of the table in pixels: four rows.
MIN_HEIGHT = 110
#: Letters of two class names that fit beside each other; longer ones are in the tooltip.
ROOM_FOR_NAMES = 8
_STATES = {
    RegionState.OPEN: "open",
    RegionState.ACCEPTED: "accepted",
    RegionState.REJECTED: "rejected",
    RegionState.EDITED: "edited",
    RegionState.SKIPPED: "skipped",
    RegionState.LOCKED: "locked",
}
_INK = {
    RegionState.ACCEPTED: ACCEPTED,
    RegionState.REJECTED: REJECTED,
    RegionState.EDITED: REJECTED,
    RegionState.LOCKED: REJECTED,
}
_NAVIGATION = (
    Qt.Key.Key_Up,
    Qt.Key.Key_Down,
    Qt.Key.Key_PageUp,
    Qt.Key.Key_PageDown,
    Qt.Key.Key_Home,
    Qt.Key.Key_End,
)


_GOES_ON = "\nIt reaches the border of this part: what lies beyond is decided in the next one."


def _ends_here(_: Box) -> bool:
    return False


@cache
def _swatch(color: str) -> QIcon:
    """A square of a colour; Qt would make one anew, and keep it, each time that it draws a cell."""
    square = QPixmap(16, 16)
    square.fill(QColor(color))
    return QIcon(square)


class ProposalsModel(QAbstractTableModel):
    """Rows in order of rank, read from the columns of `Regions` on demand."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._regions: Regions | None = None
        self._last: Region | None = None
        self._states: npt.NDArray[np.uint8] = np.zeros(0, np.uint8)
        self._current: int | None = None
        self._flagged: Mapping[int, str] = NO_FLAGS
        self._names: dict[int, str] = {}
        self._slice_axis: int | None = None
        self._first_slice = 0
        self._goes_on: Callable[[Box], bool] = _ends_here
        self._score_name = "score"

    def set_regions(
        self,
        regions: Regions | None,
        *,
        names: dict[int, str],
        slice_axis: int | None,
        first_slice: int = 0,
        goes_on: Callable[[Box], bool] | None = None,
        score_name: str,
    ) -> None:
        """Show other proposals.

        Parameters
        ----------
        regions : Regions or None
            The open proposals.
        names : dict
            Name of each class index.
        slice_axis : int or None
            Axis that the slider steps through; None in 2D.
        first_slice : int
            What the first slice of the grid is called.
        goes_on : callable, optional
            Whether what fills a box may go on in another part of the case.
        score_name : str
            Name of the rule's score.
        """
        self.beginResetModel()
        self._regions, self._last = regions, None
        self._names = names
        self._slice_axis, self._first_slice = slice_axis, first_slice
        self._goes_on = goes_on or _ends_here
        self._score_name = score_name
        self.endResetModel()

    def set_states(
        self,
        states: npt.NDArray[np.uint8],
        current: int | None,
        flagged: Mapping[int, str] = NO_FLAGS,
    ) -> None:
        """Say what became of each proposal, which one is on the canvas, which are flagged."""
        known = (self._current, self._flagged) == (current, flagged)
        if known and np.array_equal(states, self._states):
            return
        self._states, self._current, self._flagged = states, current, flagged
        if self.rowCount():
            last = len(COLUMNS) - 1
            self.dataChanged.emit(self.index(0, 0), self.index(self.rowCount() - 1, last))

    def region(self, row: int) -> Region | None:
        """The proposal in a row."""
        if self._regions is None or not 0 <= row < len(self._regions):
            return None
        # Views ask for all columns and roles of a row in turn.
        if self._last is None or self._last.id != row + 1:
            self._last = self._regions[row]
        return self._last

    def rowCount(self, parent: Index | None = None) -> int:
        """Number of proposals."""
        if self._regions is None or (parent is not None and parent.isValid()):
            return 0
        return len(self._regions)

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
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            tip = _TIPS[section]
            return f"{tip} ({self._score_name})" if COLUMNS[section] == "score" else tip
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Contents, alignment, colour and explanation of a cell."""
        region = self.region(index.row())
        if region is None:
            return None
        column = COLUMNS[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(region, column)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignLeft
            if column in ("#", "voxels", "score", "slice"):
                side = Qt.AlignmentFlag.AlignRight
            return side | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.DecorationRole and column == "change":
            return _swatch(transition_color(region.source, region.target))
        if role == Qt.ItemDataRole.ForegroundRole:
            color = _INK.get(self._state(region))
            return None if color is None else QColor(color)
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(region)
        return None

    def _text(self, region: Region, column: str) -> str:
        if column == "#":
            return str(region.id)
        if column == "change":
            names = [self._name(region.source), self._name(region.target)]
            if sum(map(len, names)) > ROOM_FOR_NAMES:
                names = [str(region.source), str(region.target)]
            return " → ".join(names)
        if column == "voxels":
            return f"{region.voxels:,}{'+' if self._goes_on(region.bbox) else ''}"
        if column == "score":
            return f"{region.mean_score:.3f}"
        if column == "slice":
            return self._slices(region)
        state = "current" if region.id == self._current else _STATES[self._state(region)]
        return f"{FLAG} {state}" if region.id in self._flagged else state

    def _state(self, region: Region) -> RegionState:
        at = region.id - 1
        return RegionState(self._states[at]) if at < len(self._states) else RegionState.OPEN

    def _slices(self, region: Region) -> str:
        if self._slice_axis is None:
            return "-"
        box = region.bbox[self._slice_axis]
        first, last = self._first_slice + box.start, self._first_slice + box.stop - 1
        return str(first) if first == last else f"{first}-{last}"

    def _name(self, index: int) -> str:
        return self._names.get(index, str(index))

    def _tip(self, region: Region) -> str:
        assert self._regions is not None
        gain = self._regions.gain
        worth = "" if gain is None else f"\nexpected to add {gain[region.id - 1]:.4f} Dice"
        volume = "" if region.volume_ml is None else f", {region.volume_ml:.3g} ml"
        said = self._flagged.get(region.id)
        flag = "" if said is None else f"\n{FLAG} {said or 'flagged'}"
        return (
            f"Proposal {region.id}: {region.voxels:,} voxels{volume} from "
            f"{self._name(region.source)} to {self._name(region.target)}\n"
            f"{self._score_name}: mean {region.mean_score:.3f}, largest {region.max_score:.3f}"
            f"{worth}{flag}{_GOES_ON if self._goes_on(region.bbox) else ''}"
        )


class ProposalsTable(QTableView):
    """View of `ProposalsModel`; letters pass on to the viewer's keys.

    Attributes
    ----------
    chosen : Signal(int)
        Id of the proposal that the user picked with mouse or arrows.
    """

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.proposals = ProposalsModel(self)
        self.setModel(self.proposals)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setAccessibleName("Open proposals")
        rows, header = self.verticalHeader(), self.horizontalHeader()
        assert rows is not None
        assert header is not None
        rows.hide()
        rows.setDefaultSectionSize(22)
        header.setHighlightSections(False)
        header.setMinimumSectionSize(24)
        for column, width in enumerate((28, 0, 64, 44, 58, 62)):
            if width:
                header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
                self.setColumnWidth(column, width)
            else:
                header.setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)
        self.setMinimumHeight(MIN_HEIGHT)
        self.clicked.connect(self._choose)

    def sizeHint(self) -> QSize:
        """Preferred size: small, since a scroll area begins to scroll where a layout's is not met.

        What the others leave over is the table's.
        """
        return QSize(super().sizeHint().width(), MIN_HEIGHT)

    def show_regions(
        self,
        regions: Regions,
        *,
        names: dict[int, str],
        slice_axis: int | None,
        first_slice: int = 0,
        goes_on: Callable[[Box], bool] | None = None,
        score_name: str,
    ) -> None:
        """Show other proposals; see `ProposalsModel.set_regions`."""
        self.proposals.set_regions(
            regions,
            names=names,
            slice_axis=slice_axis,
            first_slice=first_slice,
            goes_on=goes_on,
            score_name=score_name,
        )
        self.setColumnHidden(COLUMNS.index("slice"), slice_axis is None)

    def show_states(
        self,
        states: npt.NDArray[np.uint8],
        region_id: int | None,
        flagged: Mapping[int, str] = NO_FLAGS,
    ) -> None:
        """Show what became of each proposal, and scroll to the one on the canvas."""
        self.proposals.set_states(states, region_id, flagged)
        if region_id is None:
            self.clearSelection()
            return
        index = self.proposals.index(region_id - 1, 0)
        selection = self.selectionModel()
        assert selection is not None
        selection.setCurrentIndex(
            index,
            QItemSelectionModel.SelectionFlag.ClearAndSelect
            | QItemSelectionModel.SelectionFlag.Rows,
        )
        self.scrollTo(index)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Arrows move the choice; every other key belongs to the viewer."""
        if event is None:
            return
        if event.key() not in _NAVIGATION or event.modifiers():
            event.ignore()
            return
        before = self.currentIndex().row()
        super().keyPressEvent(event)
        if self.currentIndex().row() != before:
            self._choose(self.currentIndex())

    def _choose(self, index: QModelIndex) -> None:
        region = self.proposals.region(index.row())
        if region is not None:
            self.chosen.emit(region.id)
