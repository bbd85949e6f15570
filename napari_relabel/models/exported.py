"""Networks in exported form: TorchScript, exported programs, ONNX, and functions that build one."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from napari_relabel.io.errors import InputError
from napari_relabel.io.extras import need
from napari_relabel.io.modelfiles import ModelFiles
from napari_relabel.models.foreign import ForeignModel
from napari_relabel.models.preprocess import WorkingGrid


def torchscript(model: ModelFiles) -> ForeignModel:
    """Load a TorchScript file."""
    module: nn.Module = torch.jit.load(model.path, map_location="cpu")  # type: ignore[no-untyped-call]
    return ForeignModel(model.path.stem, module.eval())


def exported_program(model: ModelFiles) -> ForeignModel:
    """Load what ``torch.export.save`` wrote."""
    program = torch.export.load(model.path)
    (name,) = program.graph_signature.user_inputs
    inputs = (node for node in program.graph.nodes if node.name == name)
    return _of_one_size(model, program.module(), tuple(next(inputs).meta["val"].shape))


def onnx(model: ModelFiles) -> ForeignModel:
    """Load an ONNX file."""
    network = OnnxNetwork(model.path)
    return _of_one_size(model, network, network.input_shape)


def python_function(model: ModelFiles) -> ForeignModel:
    """Call a Python function without arguments that returns a network, or a `ForeignModel`."""
    if model.source.rpartition(":")[0].endswith(".py"):
        spec = importlib.util.spec_from_file_location(model.path.stem, model.path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(model.source.rpartition(":")[0])
    made = getattr(module, model.function)()
    if isinstance(made, ForeignModel):
        return made
    if not isinstance(made, nn.Module):
        raise InputError(
            f"{model.source} gives {type(made).__name__}, a torch module is needed: return the "
            "network"
        )
    return ForeignModel(model.function, made)


class OnnxNetwork(nn.Module):
    """An ONNX file as a torch module: one input, of its outputs the first.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    InputError
        If onnxruntime is not installed, or the file is not such a network.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        runtime = need("onnxruntime", path)
        try:
            self._session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        # onnxruntime's errors share no base class but Exception.
        except Exception as error:
            raise InputError(
                f"{path} cannot be run by onnxruntime ({error}): export it again"
            ) from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)":
            found = ", ".join(f"{i.name}: {i.type}" for i in inputs)
            raise InputError(
                f"{path} takes {found}: a network with one input, the image as float32, is needed"
            )
        self._input = inputs[0].name
        self.input_shape: tuple[int | str | None, ...] = tuple(inputs[0].shape)

    def forward(self, x: Tensor) -> Tensor:
        """Run the session on (1, C, *grid) float32."""
        outputs = self._session.run(None, {self._input: x.contiguous().numpy()})
        return torch.from_numpy(outputs[0])


def _of_one_size(model: ModelFiles, module: nn.Module, shape: Sequence[object]) -> ForeignModel:
    """A model with the input size that it was exported for, (1, C, *grid), if it has one."""
    grid = tuple(n for n in shape[2:] if isinstance(n, int))
    if len(grid) < len(shape) - 2:
        return ForeignModel(model.path.stem, module)
    return ForeignModel(model.path.stem, module, working=WorkingGrid(patch=grid), fixed=True)
