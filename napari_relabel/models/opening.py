"""Open a model of any kind; one that can run code only where it is trusted."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from napari_relabel.io.errors import InputError
from napari_relabel.io.modelfiles import Kind, ModelFiles, model_source
from napari_relabel.io.trust import require_trust, trust
from napari_relabel.models.bundle import load_bundle
from napari_relabel.models.description import Description, read_description
from napari_relabel.models.exported import (
    exported_program,
    onnx,
    python_function,
    torchscript,
)
from napari_relabel.models.foreign import LOADING_ERRORS, ForeignModel, FromProbabilities
from napari_relabel.models.loading import LoadedModel, load_models
from napari_relabel.models.nnunet import load_nnunet
from napari_relabel.models.preprocess import Preparation, WorkingGrid
from napari_relabel.models.torchfile import read_torch_file
from napari_relabel.models.weights import load_weights

_ONE: Mapping[Kind, Callable[[ModelFiles], ForeignModel]] = {
    "torchscript": torchscript,
    "exported program": exported_program,
    "onnx": onnx,
    "MONAI bundle": load_bundle,
    "Python function": python_function,
}


def open_models(source: Path | str) -> tuple[LoadedModel | ForeignModel, ...]:
    """Open whatever a path stands for.

    Parameters
    ----------
    source : Path or str
        A model file or RUN folder of ours, the name of a bundled model, weights, TorchScript, an
        exported program, ONNX, the folder of a MONAI bundle or of an nnU-Net,
        ``module:function`` or ``file.py:function``, or a description of one of these.

    Returns
    -------
    tuple of LoadedModel or ForeignModel
        At least one; several of a RUN folder with members, and of the folds of an nnU-Net.

    Raises
    ------
    NotTrustedError
        If loading it would run code and it is not trusted.
    InputError
        If it is none of these, or cannot be loaded.
    """
    files, description = _described(source)
    return _open(files, description, require_trust(files))


def trust_source(source: Path | str) -> None:
    """Remember that a model, or the one that a description names, is trusted.

    Parameters
    ----------
    source : Path or str
        As for `open_models`; of a kind that cannot run code nothing is remembered.

    Raises
    ------
    InputError
        If a file cannot be read.
    """
    files, _ = _described(source)
    if files.unsafe:
        trust(files)


def load_trusted(
    source: Path | str,
    *,
    normalisation: Preparation | None = None,
    working: WorkingGrid | None = None,
) -> ForeignModel:
    """Load a network in a form that can run code of its author. Only for sources that you trust.

    Parameters
    ----------
    source : Path or str
        As for `open_models`; one network that was not trained here.
    normalisation, working
        In place of what the source declares; see `ForeignModel`.

    Returns
    -------
    ForeignModel
        On the CPU, in evaluation mode where it has one.

    Raises
    ------
    InputError
        If the source is none of these, or cannot be loaded.
    """
    files, description = _described(source)
    opened = _open(files, description, files.sha256())
    model = opened[0]
    if len(opened) > 1 or isinstance(model, LoadedModel):
        raise InputError(f"{source} is not one foreign network: give its path to estimate()")
    return dataclasses.replace(
        model,
        normalisation=normalisation or model.normalisation,
        working=working or model.working,
    )


def _described(source: Path | str) -> tuple[ModelFiles, Description | None]:
    files = model_source(source)
    if files.kind != "description":
        return files, None
    description = read_description(files.path)
    inner = model_source(description.model)
    if inner.kind == "description":
        raise InputError(f"{source} describes a description: name the model itself")
    return inner, description


def _open(
    files: ModelFiles, description: Description | None, sha256: str
) -> tuple[LoadedModel | ForeignModel, ...]:
    try:
        opened = _load(files, description)
    except InputError:
        raise
    except ModuleNotFoundError as error:
        raise InputError(
            f"{files.source} needs the Python module {error.name}, which is not installed"
        ) from error
    except LOADING_ERRORS as error:
        raise InputError(
            f"{files.source} cannot be loaded ({type(error).__name__}: {error}): load the network "
            f"yourself and pass the torch module, or return it from a Python function"
        ) from error
    found: list[LoadedModel | ForeignModel] = []
    for number, model in enumerate(opened):
        if isinstance(model, ForeignModel):
            model = _applied(model, description)
            about = f"{sha256} {description.sha256 if description else ''} {number}"
            model = dataclasses.replace(
                model, content_hash=hashlib.sha256(about.encode()).hexdigest()
            )
        elif description is not None:
            raise InputError(
                f"{files.source} says itself what it needs: give it without a description"
            )
        found.append(model)
    return tuple(found)


def _load(
    files: ModelFiles, description: Description | None
) -> tuple[LoadedModel | ForeignModel, ...]:
    if description is not None and description.architecture and files.kind != "weights":
        raise InputError(
            f"{files.source} ({files.kind}) holds its architecture: leave it out of the description"
        )
    if files.kind == "nnU-Net":
        return load_nnunet(files)
    if files.kind != "weights":
        return (_ONE[files.kind](files),)
    if description is not None and description.architecture is not None:
        return (
            load_weights(
                files.path,
                architecture=description.architecture,
                arguments=description.arguments,
            ),
        )
    if files.files and not _is_ours(files.path):
        return (load_weights(files.path, dropout=description.dropout if description else 0),)
    return load_models(files.source)


def _is_ours(path: Path) -> bool:
    if path.suffix == ".safetensors":
        return False
    content = read_torch_file(path)
    return isinstance(content, dict) and "format" in content


def _applied(model: ForeignModel, description: Description | None) -> ForeignModel:
    if description is None:
        return model
    working = description.working or model.working
    if model.fixed and working.patch is None:
        working = dataclasses.replace(working, patch=model.working.patch)
    module = model.module
    if description.output == "probabilities":
        module = FromProbabilities(module)
    return dataclasses.replace(
        model,
        module=module,
        normalisation=description.normalisation or model.normalisation,
        working=working,
        place=description.place or model.place,
    )
