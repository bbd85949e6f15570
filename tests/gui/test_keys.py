"""One table of keys: no two alike, none that napari's layers use, all of them bound."""

from __future__ import annotations

from unittest.mock import Mock

import numpy as np
import pytest
import yaml
from app_model.types import KeyBinding
from gui_cases import ROOT
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points, Shapes, Surface, Tracks, Vectors
from napari.utils.key_bindings import coerce_keybinding
from napari.utils.shortcuts import default_shortcuts

from napari_relabel.gui.actions import Action, review_actions
from napari_relabel.gui.keys import KeyBinder, with_keys

KINDS = (Image, Labels, Points, Shapes, Surface, Tracks, Vectors)


@pytest.fixture
def actions() -> tuple[Action, ...]:
    return review_actions(Mock(), Mock(), Mock(), Mock())


def binding(key: str) -> KeyBinding:
    return coerce_keybinding(key)


def test_no_key_twice_and_none_that_napari_uses(actions: tuple[Action, ...]) -> None:
    keys = [binding(action.key) for action in actions]
    assert len(set(map(str, keys))) == len(keys)
    used = {str(key) for bound in default_shortcuts.values() for key in bound}
    for kind in KINDS:
        used |= {str(key) for key in kind.class_keymap}
    assert not used & set(map(str, keys))


def test_every_tooltip_names_the_key(actions: tuple[Action, ...]) -> None:
    for action in actions:
        assert action.key_text in action.tooltip.splitlines()[-1]
    assert "hold G" in next(a.tooltip for a in actions if a.id == "blink")


def test_the_preferences_page_offers_every_action_with_its_key(
    actions: tuple[Action, ...],
) -> None:
    manifest = yaml.safe_load((ROOT / "napari.yaml").read_text(encoding="utf-8"))
    offered = manifest["contributions"]["configurations"]["keys"]["properties"]
    assert {name: entry["default"] for name, entry in offered.items()} == {
        action.id: action.key for action in actions
    }


def test_chosen_keys_win_unless_two_actions_would_share_one(actions: tuple[Action, ...]) -> None:
    changed = {a.id: a for a in with_keys(actions, {"accept": "Y", "skip": ""})}
    assert changed["accept"].key == "Y"
    assert "Key: Y" in changed["accept"].tooltip
    assert changed["skip"].key == "N"
    clash = {a.id: a for a in with_keys(actions, {"reject": "j"})}
    assert clash["reject"].key == "K"
    swapped = {a.id: a for a in with_keys(actions, {"accept": "K", "reject": "J"})}
    assert (swapped["accept"].key, swapped["reject"].key) == ("K", "J")
    chain = {a.id: a for a in with_keys(actions, {"accept": "K", "skip": "J"})}
    assert [chain[name].key for name in ("accept", "reject", "skip")] == ["J", "K", "N"]


def test_a_key_that_is_no_key_is_refused_by_name(actions: tuple[Action, ...]) -> None:
    kept = {a.id: a for a in with_keys(actions, {"accept": "no such key"})}
    assert kept["accept"].key == "J"


def test_what_was_bound_before_comes_back(actions: tuple[Action, ...]) -> None:
    viewer = ViewerModel()
    layer = Labels(np.zeros((3, 3), np.uint8))

    def mine(_: object) -> None:
        """A binding of the user."""

    viewer.bind_key("J", mine)
    binder = KeyBinder(viewer, actions)
    binder.bind_layers([layer])
    assert viewer.keymap[binding("J")] is not mine
    assert binding("Control-Z") in layer.keymap
    binder.close()
    assert dict(viewer.keymap) == {binding("J"): mine}
    assert not layer.keymap
