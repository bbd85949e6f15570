"""Puts actions into napari's command palette, for as long as a dock is there."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from app_model.types import Action as AppAction
from napari._app_model import get_app_model
from psygnal import EmitLoopError

from napari_relabel.gui.action_table import ActionTable


def offer_in_palette(actions: ActionTable) -> Callable[[], None]:
    """Offer actions in the command palette.

    Parameters
    ----------
    actions : ActionTable
        What to offer. One that is held does nothing there and is left out.

    Returns
    -------
    callable
        Takes them out again.
    """
    app = get_app_model()
    # The application remembers its actions for good, also those that were taken out.
    table = weakref.ref(actions)
    changed = app.menus.menus_changed
    # The palette looks at all its entries again whenever it is told of a change.
    with changed.paused(_all_of):
        disposers = [
            app.register_action(
                AppAction(
                    id=f"napari-relabel.{id(actions)}.{action.id}",
                    title=f"Relabel: {action.title}",
                    tooltip=action.tip,
                    callback=partial(_run, table, action.id),
                )
            )
            for action in actions
            if action.release is None
        ]

    def withdraw() -> None:
        # The palette of a window that is being destroyed may be gone while it is still told.
        with suppress(EmitLoopError), changed.paused(_all_of):
            while disposers:
                disposers.pop()()

    return withdraw


def _all_of(some: tuple[set[str]], more: tuple[set[str]]) -> tuple[set[str]]:
    return (some[0] | more[0],)


def _run(table: weakref.ref[ActionTable], action_id: str) -> None:
    actions = table()
    if actions is not None:
        actions[action_id].run()
