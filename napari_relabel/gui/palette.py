"""Puts actions into napari's command palette, for as long as a dock is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from app_model.types import Action as AppAction
from napari._app_model import get_app_model

from napari_relabel.gui.actions import Action


def offer_in_palette(actions: Iterable[Action], owner: object) -> Callable[[], None]:
    """Offer actions in the command palette.

    Parameters
    ----------
    actions : iterable of Action
        What to offer. One that is held does nothing there and is left out.
    owner : object
        Tells those of several docks apart.

    Returns
    -------
    callable
        Takes them out again.
    """
    app = get_app_model()
    disposers = [
        app.register_action(
            AppAction(
                id=f"napari-relabel.{id(owner)}.{action.id}",
                title=f"Relabel: {action.title}",
                tooltip=action.tip,
                callback=action.run,
            )
        )
        for action in actions
        if action.release is None
    ]

    def withdraw() -> None:
        while disposers:
            disposers.pop()()

    return withdraw
