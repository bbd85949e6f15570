"""Joins a review session with a viewer: what changed in the one is shown in the other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from napari.viewer import Viewer
from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_relabel.core.regions import Region
from napari_relabel.gui.exhibit import Exhibit
from napari_relabel.gui.frame import Box, Frame, frame_of_case
from napari_relabel.gui.layers import LayerSet
from napari_relabel.gui.lookahead import Made, NextCase
from napari_relabel.gui.navigation import frame_region, restore_view, view_state
from napari_relabel.gui.pixels import display_of
from napari_relabel.gui.qt import Signal
from napari_relabel.gui.workers import Background
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.session import ReviewSession
from napari_relabel.review.worklist import compute_regions

#: Milliseconds without a change after which the components of a large volume are labelled.
SETTLE_MS = 120

#: Milliseconds after which a moved camera is remembered.
REMEMBER_MS = 800


class ReviewController(QObject):
    """Owns the session, its layers and its background work.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the case is shown.

    Attributes
    ----------
    session : ReviewSession or None
        None until a review is opened.
    layers : LayerSet or None
        Its layers.
    session_changed : Signal()
        Another session, or none.
    case_changed : Signal()
        Another case is on the canvas.
    list_wanted : Signal()
        The reviewer wants to see the list of cases.
    keys_wanted : Signal()
        The reviewer wants to see the keys.
    refreshed : Signal(object)
        The canvas shows this `Snapshot` now.
    leaving : Signal()
        The open case is about to be left.
    view_changed : Signal()
        Other labels are visible.
    frames : callable
        Placement of a case, from the session.
    ahead : NextCase
        Makes the next case ready.
    exhibit : Exhibit or None
        What the canvas shows and follows in place of the current proposal.
    memory : dict
        What else to remember with the view, as JSON values.
    told : Signal(str, bool)
        Something for the reviewer to read; True where it went wrong.
    """

    session_changed = Signal()
    case_changed = Signal()
    list_wanted = Signal()
    keys_wanted = Signal()
    refreshed = Signal(object)
    leaving = Signal()
    view_changed = Signal()
    told = Signal(str, bool)

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.session: ReviewSession | None = None
        self.layers: LayerSet | None = None
        self.memory: dict[str, Any] = {}
        self._new_layers: list[Callable[[LayerSet], None]] = []
        self.frames: Callable[[ReviewSession], Frame] = frame_of_case
        self.exhibit: Exhibit | None = None
        self._boxes: list[Box] = []
        self._shown: object = None
        self._swapped: object = None
        self._follow = False
        self._closed = False
        self.ahead = NextCase(lambda: self.session)
        self._made: Made | None = None
        self.refreshed.connect(self.ahead.look_soon)
        self._background = Background(self)
        self._background.finished.connect(self._adopt_regions)
        self._background.failed.connect(self.complain)
        self._refresh_timer = self._timer(0, self._refresh)
        self._settle_timer = self._timer(SETTLE_MS, self._label_regions)
        self._view_timer = self._timer(REMEMBER_MS, self._remember_view)
        viewer.scene.camera.events.connect(self._moved)
        viewer.dims.events.point.connect(self._moved)

    def open(
        self,
        folder: ReviewFolder | Path | str,
        *,
        reviewer: str | None = None,
        case_id: str | None = None,
        frames: Callable[[ReviewSession], Frame] | None = None,
    ) -> None:
        """Open a REVIEW folder in place of the one that is open.

        Parameters
        ----------
        folder : ReviewFolder or Path
            What to review.
        reviewer : str, optional
            Who decides.
        case_id : str, optional
            Where to start; default: where the reviewer left off.
        frames : callable, optional
            Placement of a case; default: from the geometry of its file.

        Raises
        ------
        ValueError, OSError
            If the folder or one of its files cannot be used; the open session stays, then.
        """
        session = ReviewSession(folder, reviewer=reviewer, case_id=case_id, defer_regions=True)
        self.release()
        self.session = session
        self.memory = dict(session.view.get("memory", {}))
        self.frames = frames or frame_of_case
        for signal, listener in self._listeners(session):
            signal.connect(listener)
        self.session_changed.emit()
        self._on_case(session.case_id)

    def open_case(self, case_id: str) -> None:
        """Open another case of the session: at once where it is ready, else it is read now."""
        session = self.session
        if session is None or case_id == session.case_id:
            return
        self._made = made = self.ahead.take(case_id)
        prepared = None if made is None else made.prepared
        self.leaving.emit()
        self.attempt(partial(session.open_case, case_id, prepared), slow=made is None)
        self._made = None

    def close_session(self) -> None:
        """Let go of the session and take its layers off the viewer."""
        self.release()
        layers, self.layers = self.layers, None
        if layers is not None:
            layers.close()
        for timer in (self._refresh_timer, self._settle_timer, self._view_timer):
            timer.stop()
        self.session_changed.emit()

    def release(self) -> None:
        """Let go of the session, but keep the layers for the next one."""
        self.leaving.emit()
        self._let_go()

    def _let_go(self) -> None:
        session, self.session = self.session, None
        self.ahead.forget()
        self._boxes.clear()
        if session is not None:
            for signal, _ in self._listeners(session):
                signal.disconnect()
            session.close()

    def _listeners(self, session: ReviewSession) -> tuple[tuple[Any, Callable[..., None]], ...]:
        return (
            (session.case_changed, self._on_case),
            (session.decisions_changed, self.show_box),
            (session.options_changed, self.refresh),
            (session.cursor_changed, self.refresh),
            (session.status_changed, self.refresh),
            (session.estimate_changed, self.refresh),
        )

    def close(self) -> None:
        """Close the session, stop the threads and take every callback off the viewer."""
        if self._closed:
            return
        self._closed = True
        self.viewer.scene.camera.events.disconnect(self._moved)
        self.viewer.dims.events.point.disconnect(self._moved)
        self._background.close()
        self.ahead.close()
        self.close_session()

    def abandon(self) -> None:
        """Close session and threads and leave the viewer alone, which is about to go."""
        if not self._closed:
            self._closed = True
            self._background.close()
            self.ahead.close()
            # Qt may have destroyed this object: it must not signal any more.
            self._let_go()

    def on_new_layers(self, callback: Callable[[LayerSet], None]) -> None:
        """Have `callback` called with every new set of layers."""
        self._new_layers.append(callback)

    def remember(self, name: str, value: Any) -> None:
        """Keep a JSON value for the next session of this reviewer."""
        self.memory[name] = value
        self._remember_view()

    def tell(self, text: str, *, wrong: bool = False) -> None:
        """Let the reviewer read something."""
        self.told.emit(text, wrong)

    def complain(self, error: BaseException) -> None:
        """Let the reviewer read why something failed."""
        self.tell(str(error), wrong=True)

    def attempt(self, work: Callable[[], Any], *, slow: bool = False) -> bool:
        """Do something that may fail for reasons the reviewer can mend; False if it did.

        `slow` shows the waiting cursor meanwhile.
        """
        if slow:
            QApplication.setOverrideCursor(Qt.CursorShape.WaitCursor)
        try:
            work()
        except (ValueError, OSError) as error:
            self.complain(error)
            return False
        finally:
            if slow:
                QApplication.restoreOverrideCursor()
        return True

    def refresh(self) -> None:
        """Show the session as it is, soon."""
        self._refresh_timer.start()

    def show_box(self, box: Box) -> None:
        """Show the corrected labels of a box of the grid as they are, soon."""
        self._boxes.append(box)
        self._refresh_timer.start()

    def follow(self) -> None:
        """Go to the current proposal once it is known."""
        self._follow = True
        self._refresh_timer.start()

    # -- from the session to the viewer ---------------------------------------------------------

    def _on_case(self, case_id: str) -> None:
        session = self.session
        assert session is not None
        frame, made = self.frames(session), self._made
        if made is not None and session.shows(made.prepared):
            display = made.display
        else:
            display = display_of(session.image, session.given, session.corrected)
        if self.layers is not None and not self.layers.fits(display):
            self.layers.close()
            self.layers = None
        if self.layers is None:
            self.layers = LayerSet(self.viewer, session, frame, display)
            for callback in self._new_layers:
                callback(self.layers)
            self._look_at_case()
        else:
            self.layers.restore()
            with self.layers.show_case(session, frame, display):
                self._look_at_case()
        self._boxes.clear()
        self._shown = self._estimate_key()
        self._swapped = (session.snapshot, session.current)
        self.case_changed.emit()
        if session.estimate is not None and session.estimate.note:
            self.tell(session.estimate.note)
        self._refresh_timer.start()

    def _look_at_case(self) -> None:
        session, layers = self.session, self.layers
        assert session is not None
        assert layers is not None
        at_case = session.view.get("case") == session.case_id
        if at_case and restore_view(self.viewer, session.view):
            return
        # napari leaves listeners behind on layers that it is given to fit.
        others = set(self.viewer.layers) - set(layers)
        self.viewer.reset_view(layers=[layers.given] if others else None)
        if session.current is None:
            self._follow = True  # as soon as it is known
        else:
            self._go_to(session.current)

    def _refresh(self) -> None:
        session, layers = self.session, self.layers
        if session is None or layers is None:
            return
        snapshot = session.snapshot
        for box in self._boxes:
            layers.show_decisions(session, box)
        self._boxes.clear()
        if self._shown != self._estimate_key():
            self._shown = self._estimate_key()
            layers.show_estimate(session)
        elif self._swapped != (snapshot, session.current):
            layers.show_flips(session)
        self._swapped = None
        layers.show_exhibit(session, self.exhibit)
        shown = self.exhibit or session.current
        if self._follow and shown is not None:
            self._follow = False
            self._go_to(shown)
        elif snapshot.regions_ready:
            self._follow = False
        self.refreshed.emit(snapshot)
        if not snapshot.regions_ready:
            self._settle_timer.start()

    def _go_to(self, region: Region | Exhibit) -> None:
        session, layers = self.session, self.layers
        assert session is not None
        assert layers is not None
        if isinstance(region, Exhibit):
            mask = region.mask
        else:
            mask = session.snapshot.regions.mask(region.id)
        box = layers.frame.box(region.bbox, session.given.shape)
        frame_region(self.viewer, layers.flips, box, layers.frame.view(mask))

    def _label_regions(self) -> None:
        inputs = None if self.session is None else self.session.region_inputs()
        if inputs is not None:
            self._background.request(partial(compute_regions, inputs))

    def _adopt_regions(self, result: Any) -> None:
        if self.session is not None:
            self.session.adopt_regions(result)

    def _moved(self, event: Any = None) -> None:
        if self.session is not None:
            self._view_timer.start()

    def _remember_view(self) -> None:
        session = self.session
        if session is not None:
            state = {"case": session.case_id, "memory": self.memory, **view_state(self.viewer)}
            self.attempt(partial(session.set_cursor, state))

    def _estimate_key(self) -> object:
        session = self.session
        return None if session is None else (id(session.estimate), session.options.kind)

    def _timer(self, interval: int, callback: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(interval)
        timer.timeout.connect(callback)
        return timer
