"""Puts actions on keys: on the viewer, and on our layers, which come first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from napari.layers import Layer
from napari.utils.notifications import show_warning
from napari.viewer import Viewer

from napari_relabel.gui.actions import Action, key_name


class KeyBinder:
    """Binds actions to a viewer and to our layers, and takes them off again.

    The viewer's own bindings never fire for a key that the selected layer uses, therefore our
    layers get the same bindings. What another plugin had bound comes back on `close`.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose keys.
    actions : sequence of Action
        What to bind.
    """

    def __init__(self, viewer: Viewer, actions: Sequence[Action]) -> None:
        self._viewer = viewer
        self._actions = actions
        self._replaced: dict[str, Any] = {}
        self._layers: list[Layer] = []
        self._bind()

    def bind_layers(self, layers: Iterable[Layer]) -> None:
        """Give our layers the same keys."""
        for layer in layers:
            self._bind_layer(layer)
            self._layers.append(layer)

    def rebind(self, actions: Sequence[Action]) -> None:
        """Take other keys."""
        layers = self._layers.copy()
        self.close()
        self._actions = actions
        self._bind()
        self.bind_layers(layers)

    def close(self) -> None:
        """Unbind everything."""
        for key, previous in self._replaced.items():
            self._viewer.bind_key(key, previous, overwrite=True)
        for layer in self._layers:
            for action in self._actions:
                for key in action.all_keys:
                    layer.bind_key(key, None)
        self._replaced.clear()
        self._layers.clear()

    def _bind(self) -> None:
        for action in self._actions:
            self._replaced[action.key] = self._viewer.bind_key(
                action.key, _callback(action), overwrite=True
            )

    def _bind_layer(self, layer: Layer) -> None:
        for action in self._actions:
            for key in action.all_keys:
                layer.bind_key(key, _callback(action), overwrite=True)


def _callback(action: Action) -> Callable[[Any], Any]:
    if action.release is None:

        def pressed(_: Any) -> None:
            action.run()

        return pressed
    release = action.release

    def held(_: Any) -> Iterator[None]:
        action.run()
        yield
        release()

    return held


def with_keys(actions: Sequence[Action], keys: Mapping[str, str]) -> tuple[Action, ...]:
    """Actions with the keys that the user chose.

    Parameters
    ----------
    actions : sequence of Action
        With their own keys.
    keys : mapping of action id to key
        Choices. One that is no key, or the key of another action, is refused with a warning.
    """
    chosen: dict[str, str] = {}
    for action in actions:
        key = keys.get(action.id) or action.key
        if not key_name(key):
            show_warning(f"{action.title} keeps the key {action.key}: {key!r} is not a key")
        chosen[action.id] = key if key_name(key) else action.key
    # Taking one choice back can collide with another one; in the end all have their own keys.
    while shared := [a for a in actions if _shared(a, chosen) and chosen[a.id] != a.key]:
        for action in shared:
            key = chosen[action.id]
            show_warning(f"{action.title} keeps the key {action.key}: {key} has another use")
            chosen[action.id] = action.key
    return tuple(replace(action, key=chosen[action.id]) for action in actions)


def _shared(action: Action, chosen: Mapping[str, str]) -> bool:
    names = [key_name(key) for key in chosen.values()]
    return names.count(key_name(chosen[action.id])) > 1
