"""All actions, with the keys that the user chose for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from napari.settings import get_settings
from qtpy.QtCore import QObject

from napari_relabel.gui import settings
from napari_relabel.gui.actions import Action, key_name, printed
from napari_relabel.gui.keys import with_keys
from napari_relabel.gui.qt import Signal


class ActionTable(QObject):
    """Actions by their ids.

    Parameters
    ----------
    actions : sequence of Action
        With their own keys; what the user set on the Preferences page wins.

    Attributes
    ----------
    changed : Signal()
        An action has another key.
    """

    changed = Signal()

    def __init__(self, actions: Sequence[Action]) -> None:
        super().__init__()
        self._own = {action.id: action.key for action in actions}
        self._actions = {a.id: a for a in with_keys(actions, settings.keys())}

    def __getitem__(self, action_id: str) -> Action:
        """An action as it is now; its key may be another one later."""
        return self._actions[action_id]

    def __iter__(self) -> Iterator[Action]:
        yield from self._actions.values()

    def follow(self, show: Callable[[], None]) -> None:
        """Call `show` now, and whenever a key has changed."""
        show()
        self.changed.connect(show)

    def own_key(self, action_id: str) -> str:
        """The key that an action has where none is chosen."""
        return self._own[action_id]

    def choose(self, action_id: str, key: str) -> None:
        """Give an action another key, from now on and in later sessions.

        Raises
        ------
        ValueError
            If that is no key, or the key of another action.
        """
        if not key_name(key):
            raise ValueError(f"{key!r} is not a key")
        for other in self:
            if other.id != action_id and key_name(key) in map(key_name, other.all_keys):
                raise ValueError(f"{printed(key)} is the key of {other.title}: change that first")
        settings.set_key(action_id, key)
        self._actions[action_id] = replace(self._actions[action_id], key=key)
        self.changed.emit()


def use_in_napari(key: str) -> str:
    """What a key does in napari otherwise; empty where nothing."""
    for use, keys in get_settings().shortcuts.shortcuts.items():
        if key_name(key) in map(key_name, map(str, keys)):
            return str(use).split(":")[-1].replace("_", " ")
    return ""
