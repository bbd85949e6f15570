"""Plain weights: of our own architecture, or of a MONAI network that is named."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.networks import nets
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from napari_relabel.io.errors import InputError
from napari_relabel.io.hashing import check_file
from napari_relabel.models.checkpoint import network_of
from napari_relabel.models.foreign import LOADING_ERRORS, ForeignModel
from napari_relabel.models.preprocess import Preparation, WorkingGrid
from napari_relabel.models.torchfile import check_plain, is_state_dict, read_torch_file
from napari_relabel.models.unet import UNetConfig

#: Names under which training tools keep the weights among other things.
_NESTED = ("state_dict", "model", "model_state_dict")


def load_weights(
    path: Path | str,
    *,
    dropout: float = 0.0,
    architecture: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    normalisation: Preparation | None = None,
    working: WorkingGrid | None = None,
) -> ForeignModel:
    """Load plain weights of a MONAI network; no code in the file is run.

    Parameters
    ----------
    path : Path or str
        A state_dict written by ``torch.save``, or safetensors.
    dropout : float
        Dropout probability of bottleneck and decoder of a BasicUNet, which weights don't tell.
    architecture : str, optional
        Name of a class in ``monai.networks.nets``, such as ``"UNet"``. By default the weights must
        be of a BasicUNet with batch norm, which is recognised.
    arguments : mapping, optional
        Arguments of its constructor.
    normalisation, working
        As for `ForeignModel`; weights don't tell these either.

    Returns
    -------
    ForeignModel

    Raises
    ------
    InputError
        If the file cannot be read, holds weights of another architecture, or there is no such
        architecture.
    """
    path = check_file(path)
    weights = read_weights(path)
    check_plain(path, weights)
    if architecture is not None:
        network: nn.Module = _named(path, architecture, arguments or {})
        _fill(network, weights, f"{path} does not fit {architecture}")
    else:
        try:
            network = network_of(_config_of(path, weights, dropout), weights)
        except RuntimeError as error:
            raise _unknown(path) from error
    return ForeignModel(path.stem, network.eval(), normalisation, working or WorkingGrid())


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """Read a state_dict, also one that lies beside other things; no code in the file is run.

    Parameters
    ----------
    path : Path
        Written by ``torch.save``, or safetensors.

    Returns
    -------
    mapping of str to Tensor
        Not empty.

    Raises
    ------
    InputError
        If it is damaged, or holds no state_dict.
    """
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError, json.JSONDecodeError) as error:
            raise InputError(
                f"{path} is no safetensors file or damaged ({error}): copy it again"
            ) from error
    state = read_torch_file(path)
    if isinstance(state, dict) and not is_state_dict(state):
        state = next((state[name] for name in _NESTED if name in state), state)
    if not is_state_dict(state) or not state:
        raise InputError(
            f"{path} holds no state_dict: save one by torch.save(network.state_dict(), path)"
        )
    return state


def _named(path: Path, architecture: str, arguments: Mapping[str, Any]) -> nn.Module:
    # Only what MONAI itself exports: a name must not lead to any other code.
    kind = getattr(nets, architecture, None)
    if not (inspect.isclass(kind) and issubclass(kind, nn.Module)):
        raise InputError(
            f"{path}: MONAI has no network {architecture!r}: give a class of monai.networks.nets, "
            "or a Python function that builds the network"
        )
    try:
        network: nn.Module = kind(**arguments)
    except LOADING_ERRORS as error:
        raise InputError(
            f"{path}: {architecture} cannot be built from {dict(arguments)} ({error}): give the "
            "arguments that it was trained with"
        ) from error
    return network


def _fill(network: nn.Module, weights: Mapping[str, Tensor], problem: str) -> None:
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        said = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise InputError(f"{problem} ({said}): give the arguments it was trained with") from error


def _config_of(path: Path, weights: Mapping[str, Tensor], dropout: float) -> UNetConfig:
    first = weights.get("conv_0.conv_0.conv.weight")
    last = weights.get("final_conv.weight")
    if first is None or last is None or first.ndim not in (4, 5) or first.ndim != last.ndim:
        raise _unknown(path)
    if first.shape[0] % 2 or 0 in (*first.shape[:2], last.shape[0]):
        raise _unknown(path)
    return UNetConfig(
        spatial_dims=first.ndim - 2,
        in_channels=first.shape[1],
        out_channels=last.shape[0],
        features=first.shape[0],
        dropout=dropout,
    )


def _unknown(path: Path) -> InputError:
    return InputError(
        f"{path} holds weights of an architecture that is not known here (known: MONAI BasicUNet "
        f"with batch norm and features (f, f, 2f, 4f, 8f, f)): name a MONAI network and its "
        f"arguments in a description, or give a Python function that builds the network"
    )
