"""Networks that people bring: what is safe to open, and what only after an explicit yes."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from monai.bundle.config_parser import ConfigParser
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from napari_relabel.io.errors import InputError
from napari_relabel.io.hashing import check_file
from napari_relabel.models.checkpoint import network_of
from napari_relabel.models.preprocess import Normalisation, WorkingGrid
from napari_relabel.models.torchfile import check_plain, is_state_dict, read_torch_file
from napari_relabel.models.unet import UNetConfig

_LOADING_ERRORS = (
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, eq=False)
class ForeignModel:
    """A network that was not trained here, and how images are to be brought to it.

    Parameters
    ----------
    name : str
        For people.
    module : nn.Module
        Gives logits.
    normalisation : Normalisation, optional
        None: the network gets intensities as they are.
    working : WorkingGrid
        The grid on which it works; by default that of the image.
    """

    name: str
    module: nn.Module
    normalisation: Normalisation | None = None
    working: WorkingGrid = field(default_factory=WorkingGrid)


def load_weights(
    path: Path | str,
    *,
    dropout: float = 0.0,
    normalisation: Normalisation | None = None,
    working: WorkingGrid | None = None,
) -> ForeignModel:
    """Load plain weights of MONAI's BasicUNet with batch norm; no code in the file is run.

    Parameters
    ----------
    path : Path or str
        A state_dict written by ``torch.save``, or safetensors.
    dropout : float
        Dropout probability of bottleneck and decoder, which weights don't tell.
    normalisation, working
        As for `ForeignModel`; weights don't tell these either.

    Returns
    -------
    ForeignModel

    Raises
    ------
    InputError
        If the file cannot be read, or holds weights of another architecture.
    """
    path = check_file(path)
    weights = _read_weights(path)
    check_plain(path, weights)
    try:
        network = network_of(_config_of(path, weights, dropout), weights)
    except RuntimeError as error:
        raise _unknown(path) from error
    return ForeignModel(path.stem, network.eval(), normalisation, working or WorkingGrid())


def load_trusted(
    source: Path | str,
    *,
    normalisation: Normalisation | None = None,
    working: WorkingGrid | None = None,
) -> ForeignModel:
    """Load a network in a form that can run code of its author. Only for sources that you trust.

    Parameters
    ----------
    source : Path or str
        A TorchScript file (``.pt``, ``.ts``), an exported program (``.pt2``), the folder of a MONAI
        bundle, an ONNX file (deterministic: test-time augmentation and ensembles only), or
        ``module:function``, a Python function without arguments that returns a torch module.
    normalisation, working
        As for `ForeignModel`.

    Returns
    -------
    ForeignModel
        On the CPU, in evaluation mode where it has one.

    Raises
    ------
    InputError
        If the source is none of these, or cannot be loaded.
    """
    name, load = _loader(source)
    try:
        module = load()
    except InputError:
        raise
    except _LOADING_ERRORS as error:
        raise InputError(
            f"{source} cannot be loaded ({type(error).__name__}: {error}): load the network "
            f"yourself and pass the torch module"
        ) from error
    if not isinstance(module, nn.Module):
        raise InputError(
            f"{source} gives {type(module).__name__}, a torch module is needed: return the network"
        )
    return ForeignModel(name, module, normalisation, working or WorkingGrid())


def _loader(source: Path | str) -> tuple[str, Callable[[], object]]:
    path = Path(source)
    if path.is_dir():
        return path.name, lambda: _bundle(path)
    if path.is_file():
        loaders: Mapping[str, Callable[[Path], object]] = {
            ".pt": _torchscript,
            ".pth": _torchscript,
            ".ts": _torchscript,
            ".pt2": lambda file: torch.export.load(file).module(),
            ".onnx": OnnxNetwork,
        }
        load = loaders.get(path.suffix.lower())
        if load is None:
            raise InputError(
                f"{path} is no network: its suffix is none of {', '.join(sorted(loaders))}"
            )
        return path.stem, lambda: load(path)
    module, colon, function = str(source).partition(":")
    if not (colon and module.replace(".", "").isidentifier() and function.isidentifier()):
        raise InputError(
            f"{source} does not exist: give a file, the folder of a MONAI bundle, or a Python "
            f"function as module:function"
        )
    return function, lambda: getattr(importlib.import_module(module), function)()


def _torchscript(path: Path) -> nn.Module:
    module: nn.Module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    return module.eval()


def _bundle(folder: Path) -> nn.Module:
    configs = [
        path
        for stem in ("inference", "train")
        for suffix in (".json", ".yaml", ".yml")
        if (path := folder / "configs" / f"{stem}{suffix}").is_file()
    ]
    weights = check_file(folder / "models" / "model.pt")
    if not configs:
        raise InputError(f"{folder} is no MONAI bundle: it has no configs/inference.json")
    parser = ConfigParser()
    parser.read_config(str(configs[0]))
    parser["bundle_root"] = str(folder)
    module = parser.get_parsed_content("network_def")
    state = read_torch_file(weights)
    if isinstance(state, dict) and is_state_dict(state.get("model")):
        state = state["model"]
    module.load_state_dict(state, strict=True)
    network: nn.Module = module.eval()
    return network


class OnnxNetwork(nn.Module):
    """An ONNX file as a torch module: one input, of its outputs the first.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    InputError
        If onnxruntime is not installed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            runtime = importlib.import_module("onnxruntime")
        except ImportError as error:
            raise InputError(f"{path} needs onnxruntime: pip install onnxruntime") from error
        self._session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        # What content hashes are made of.
        self.register_buffer(
            "file", torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Run the session on (1, C, *grid) float32."""
        outputs = self._session.run(None, {self._input: x.numpy()})
        return torch.from_numpy(outputs[0])


def _read_weights(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError, json.JSONDecodeError) as error:
            raise InputError(
                f"{path} is no safetensors file or damaged ({error}): copy it again"
            ) from error
    state = read_torch_file(path)
    if isinstance(state, dict) and is_state_dict(state.get("state_dict")):
        state = state["state_dict"]
    if not is_state_dict(state) or not state:
        raise InputError(
            f"{path} holds no state_dict: save one by torch.save(network.state_dict(), path)"
        )
    return state


def _config_of(path: Path, weights: Mapping[str, Tensor], dropout: float) -> UNetConfig:
    first = weights.get("conv_0.conv_0.conv.weight")
    last = weights.get("final_conv.weight")
    if first is None or last is None or first.ndim not in (4, 5) or first.shape[0] % 2:
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
        f"with batch norm and features (f, f, 2f, 4f, 8f, f)): build the network in Python, load "
        f"the weights into it and pass the torch module"
    )
