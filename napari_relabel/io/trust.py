"""Models that may run code, and whether somebody has said that they are trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from napari_relabel.io.atomic import atomic_path
from napari_relabel.io.errors import InputError
from napari_relabel.io.modelfiles import ModelFiles
from napari_relabel.io.tables import read_json


class NotTrustedError(InputError):
    """A model that may run code, of which nobody has said that it is trusted.

    Parameters
    ----------
    model : ModelFiles
        The model.
    sha256 : str
        Of its content.
    changed : bool
        Whether other content of the same path is trusted.
    """

    def __init__(self, model: ModelFiles, sha256: str, *, changed: bool) -> None:
        self.model = model
        self.sha256 = sha256
        self.changed = changed
        super().__init__(
            f"{self.question} To say yes: --trust on the command line, "
            "napari_relabel.models.api.load_trusted in Python"
        )

    @property
    def question(self) -> str:
        """What to ask a person."""
        since = " It has changed since you trusted it." if self.changed else ""
        return (
            f"{self.model.source} ({self.model.kind}) can run code of whoever made it, with all "
            f"your rights.{since} Do you trust it?"
        )


def trust_file() -> Path:
    """Where trusted content hashes are remembered, in the user's data folder."""
    return user_data_path("napari-relabel", appauthor=False) / "trusted-models.json"


def trust(model: ModelFiles, sha256: str | None = None) -> None:
    """Remember that a model is trusted, until one of its files changes.

    Parameters
    ----------
    model : ModelFiles
        The model.
    sha256 : str, optional
        The content that was trusted; by default what the files hold now.

    Raises
    ------
    InputError
        If the list cannot be read or written.
    """
    trusted = _trusted()
    trusted[sha256 or model.sha256()] = {"path": model.place, "kind": model.kind}
    with atomic_path(trust_file()) as temporary:
        temporary.write_text(json.dumps(trusted, indent=1, ensure_ascii=False), encoding="utf-8")


def require_trust(model: ModelFiles) -> str:
    """Make sure that a model may be loaded.

    Parameters
    ----------
    model : ModelFiles
        Any.

    Returns
    -------
    str
        SHA-256 of its content.

    Raises
    ------
    NotTrustedError
        If it may run code, and its content is not trusted.
    """
    sha256 = model.sha256()
    if model.unsafe:
        trusted = _trusted()
        if sha256 not in trusted:
            changed = any(entry.get("path") == model.place for entry in trusted.values())
            raise NotTrustedError(model, sha256, changed=changed)
    return sha256


def _trusted() -> dict[str, dict[str, Any]]:
    file = trust_file()
    if not file.exists():
        return {}
    content = read_json(file)
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise InputError(f"{file} is damaged: delete it, and say again which models you trust")
    return content
