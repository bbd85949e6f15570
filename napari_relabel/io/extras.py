"""Packages that only some formats need."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from napari_relabel.io.errors import InputError

_EXTRAS = {
    "SimpleITK": "itk",
    "pydicom": "dicom",
    "highdicom": "dicom",
    "zarr": "zarr",
    "onnxruntime": "onnx",
    "nnunetv2": "nnunet",
}


def need(module: str, path: Path) -> Any:
    """Import a package that a file or folder needs.

    Parameters
    ----------
    module : str
        Name, for example ``"SimpleITK"`` or ``"pydicom.uid"``.
    path : Path
        The file that needs it.

    Returns
    -------
    module

    Raises
    ------
    InputError
        If it is not installed; the message names the extra that brings it.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise InputError(
            f"{path} needs {package}, which is not installed: "
            f'pip install "napari-relabel[{_EXTRAS[package]}]"'
        ) from error
