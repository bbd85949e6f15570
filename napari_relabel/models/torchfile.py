"""Files of ``torch.save``, opened without running code and without more memory than they hold."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard

import torch
from torch import Tensor

from napari_relabel.io.errors import DAMAGE, InputError
from napari_relabel.io.limits import check_memory


def read_torch_file(path: Path) -> object:
    """Read tensors and plain values that ``torch.save`` wrote, refusing anything that is code.

    Parameters
    ----------
    path : Path
        An existing file.

    Returns
    -------
    object
        Usually a dictionary.

    Raises
    ------
    InputError
        If the file is damaged, not from ``torch.save``, or would have to run code to be read.
    """
    _check_archive(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if zipfile.is_zipfile(path):
            raise InputError(
                f"{path} holds code or objects, not only weights, and was not opened: save the "
                f"state_dict of the network instead (torch.save(network.state_dict(), path))"
            ) from error
        raise InputError(
            f"{path} is not a torch file: give the model.pt of a training run"
        ) from error
    except (*DAMAGE, AssertionError, ImportError) as error:
        raise InputError(
            f"{path} cannot be read as a torch file, it is damaged or something else: copy it "
            f"again from its source"
        ) from error


def _check_archive(path: Path) -> None:
    """Refuse a zip archive that unpacks to more than the memory holds."""
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            names = archive.namelist()
    except (*DAMAGE, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged ({error}): copy it again") from error
    if any(name.endswith("/constants.pkl") for name in names):
        raise InputError(
            f"{path} is a TorchScript program, not only weights, and was not opened: save the "
            "state_dict of the network, or load the program as one that you trust"
        )
    check_memory(path, [size], 1)


def check_plain(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Raise InputError unless every tensor lies in memory as it is shaped.

    A few bytes can be declared a tensor of any size, all of whose numbers lie in one place.
    """
    for name, tensor in weights.items():
        stored = tensor.layout == torch.strided and not tensor.is_meta
        if not stored or tensor.untyped_storage().nbytes() < tensor.numel() * tensor.itemsize:
            raise InputError(f"{path} has unusable weights {name!r}: save the state_dict anew")


def is_state_dict(value: object) -> TypeGuard[Mapping[str, Tensor]]:
    """Whether `value` maps names to tensors."""
    return isinstance(value, Mapping) and all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items()
    )
