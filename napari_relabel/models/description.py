"""A JSON file that says what the files of a model don't: architecture, preprocessing, output."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from napari_relabel.io.errors import InputError
from napari_relabel.io.tables import read_json
from napari_relabel.models.placement import Orientation
from napari_relabel.models.preprocess import Normalisation, WorkingGrid

Output = Literal["logits", "probabilities"]

_KEYS = (
    "model",
    "architecture",
    "arguments",
    "dropout",
    "normalisation",
    "orientation",
    "spacing_mm",
    "size",
    "patch",
    "output",
)
_GRID = ("spacing_mm", "size", "patch")


@dataclass(frozen=True)
class Description:
    """What is declared about a model.

    Parameters
    ----------
    model : str
        File, folder, ``module:function`` or ``file.py:function``; not another description.
    architecture : str, optional
        Class in ``monai.networks.nets`` that the weights are for.
    arguments : dict
        Of its constructor.
    dropout : float
        Of weights of a BasicUNet, which don't tell.
    normalisation : Normalisation, optional
        What is done to intensities.
    place : Orientation, optional
        How the axes of volumes run.
    working : WorkingGrid, optional
        Voxel size or size at which it works, and its patch. Voxel size and patch are in the order
        of the axes of `place`.
    output : {"logits", "probabilities"}
        What the network gives.
    sha256 : str
        Of all of this.
    """

    model: str
    architecture: str | None
    arguments: Mapping[str, Any]
    dropout: float
    normalisation: Normalisation | None
    place: Orientation | None
    working: WorkingGrid | None
    output: Output
    sha256: str


def read_description(path: Path) -> Description:
    """Read a description.

    Parameters
    ----------
    path : Path
        JSON: an object with the key ``model`` and any of the others of `Description`. Paths are
        relative to it.

    Returns
    -------
    Description

    Raises
    ------
    InputError
        If it is not such a file; the message says which key is wrong.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("model"), str):
        raise InputError(
            f'{path} describes no model: give an object like {{"model": "net.pt", "normalisation": '
            '{"scheme": "zscore"}}'
        )
    unknown = sorted(set(content) - set(_KEYS))
    if unknown:
        raise InputError(f"{path}: {', '.join(unknown)} is not known; known are {', '.join(_KEYS)}")
    architecture, arguments = content.get("architecture"), content.get("arguments", {})
    if not isinstance(architecture, str | None) or not isinstance(arguments, dict):
        raise InputError(f'{path}: give "architecture" as a name and "arguments" as an object')
    output: Output = content.get("output", "logits")
    if output not in get_args(Output):
        raise InputError(f"{path}: output is one of {', '.join(get_args(Output))}, not {output!r}")
    grid = {name: content[name] for name in _GRID if name in content}
    try:
        normalisation, orientation = content.get("normalisation"), content.get("orientation")
        return Description(
            model=_located(path, content["model"]),
            architecture=architecture,
            arguments=arguments,
            dropout=float(content.get("dropout", 0)),
            normalisation=None if normalisation is None else Normalisation.from_json(normalisation),
            place=None if orientation is None else Orientation(orientation),
            working=WorkingGrid.from_json(grid) if grid else None,
            output=output,
            sha256=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: {error}") from error


def _located(path: Path, model: str) -> str:
    module, colon, function = model.rpartition(":")
    if colon and module.endswith(".py"):
        return f"{path.parent / module}:{function}"
    located = path.parent / model
    return model if colon and not located.exists() else str(located)
