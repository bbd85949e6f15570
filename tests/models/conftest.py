"""Model files for the tests of loading and estimating."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from model_networks import Save, unet

from napari_relabel.models.checkpoint import Checkpoint, save_checkpoint


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Save a small network: ``save("run/model.pt", seed=1, in_channels=3, epochs=4, ...)``."""

    def write(name: str, **values: object) -> Path:
        path = tmp_path / name
        known = {field.name for field in dataclasses.fields(Checkpoint)}
        about = {key: values.pop(key) for key in list(values) if key in known}
        network = unet(**values)  # type: ignore[arg-type]
        save_checkpoint(path, Checkpoint(config=network.config, **about), network)  # type: ignore[arg-type]
        return path

    return write
