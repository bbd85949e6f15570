"""What the user set on napari's Preferences page for this plugin."""

from __future__ import annotations

import getpass
from typing import Any

from napari.settings import get_plugin_settings

PLUGIN = "napari-relabel"


def _settings() -> Any:
    """The settings model, or None where the plugin's manifest is not registered."""
    try:
        return get_plugin_settings(PLUGIN)
    except KeyError:
        return None


def reviewer() -> str:
    """Name under which decisions are recorded; default: the name of the user's account."""
    settings = _settings()
    return (settings.review.reviewer if settings is not None else "") or getpass.getuser()


def set_reviewer(name: str) -> None:
    """Remember a reviewer's name."""
    settings = _settings()
    if settings is not None:
        settings.review.reviewer = name


def keys() -> dict[str, str]:
    """Key per action id, where the user chose one."""
    settings = _settings()
    return {} if settings is None else dict(settings.keys.model_dump())


def set_key(action_id: str, key: str) -> None:
    """Remember the key of an action."""
    settings = _settings()
    if settings is not None:
        setattr(settings.keys, action_id, key)
