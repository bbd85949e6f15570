"""Where networks compute: on the processor, or on a GPU of NVIDIA."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from itertools import chain

import torch
from torch import Tensor, nn

CPU = torch.device("cpu")

#: What copying a module may raise: tensors that are no leaves, handles of other libraries.
NOT_COPIED = (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError)


def device_for(wanted: str) -> torch.device:
    """The device that a name stands for.

    Parameters
    ----------
    wanted : str
        ``"auto"`` (the first GPU where there is one, else the processor), ``"cpu"``, ``"cuda"`` or
        ``"cuda:N"``.

    Returns
    -------
    torch.device
        With its number where it is a GPU.

    Raises
    ------
    ValueError
        If it is none of these names, or there is no such GPU.
    """
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return CPU
    name, _, number = ("cuda" if wanted == "auto" else wanted).partition(":")
    if name != "cuda" or not (number or "0").isdecimal():
        raise ValueError(f"unknown device {wanted!r}: choose from auto, cpu, cuda, cuda:0, cuda:1")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number or 0) >= count:
        found = f"{count} of them" if count else "none; its driver or a build for it may be missing"
        raise ValueError(
            f"device {wanted!r} is not there: PyTorch {torch.__version__} sees {found}. Use device "
            "'cpu' or 'auto'"
        )
    return torch.device("cuda", int(number or 0))


def name_of(device: torch.device) -> str:
    """The device for people and records, for example ``"cuda:0 (NVIDIA H100)"``."""
    if device.type != "cuda":
        return str(device)
    return f"{device} ({torch.cuda.get_device_name(device)})"


def device_of(module: nn.Module) -> torch.device:
    """Where the parameters of a module are; the processor for one without any."""
    for tensor in chain(module.parameters(), module.buffers()):
        return tensor.device
    return CPU


def where(module: nn.Module, wanted: torch.device) -> torch.device:
    """Where a network of ours is to compute: not elsewhere if its owner put it on a GPU."""
    own = device_of(module)
    return wanted if own.type == "cpu" else own


def placed(module: nn.Module, device: torch.device) -> nn.Module:
    """A network where it is to compute.

    Parameters
    ----------
    module : nn.Module
        Left as it is.
    device : torch.device
        Where it is wanted.

    Returns
    -------
    nn.Module
        A copy on the device, or the module itself: where it is there already, was put elsewhere by
        its owner, or cannot be moved. Exported programs name the device that they were traced on,
        and ONNX runs on the processor.
    """
    if device.type == "cpu" or device_of(module).type != "cpu":
        return module
    bound = any(isinstance(part, torch.fx.GraphModule) for part in module.modules())
    if bound or next(chain(module.parameters(), module.buffers()), None) is None:
        return module
    try:
        return copy.deepcopy(module).to(device)
    except torch.OutOfMemoryError as error:
        raise MemoryError(
            f"the network does not fit on {name_of(device)}: compute on the processor (device "
            f"'cpu')"
        ) from error
    except NOT_COPIED:
        return module


@contextlib.contextmanager
def memory_errors(device: torch.device, doing: str, remedy: str) -> Iterator[None]:
    """Turn torch's errors about memory into a `MemoryError` that says what to do.

    Parameters
    ----------
    device : torch.device
        Where.
    doing : str
        What the memory is for, such as ``"run the network on a window of (96, 96, 96)"``.
    remedy : str
        What helps, such as ``"give a smaller patch"``.
    """
    try:
        yield
    except RuntimeError as error:
        if "allocate memory" not in str(error) and not isinstance(error, torch.OutOfMemoryError):
            raise
        if device.type == "cuda":
            remedy = f"{remedy}, or compute on the processor (device 'cpu')"
        raise MemoryError(f"not enough memory on {name_of(device)} to {doing}: {remedy}") from error


def window_memory(x: Tensor) -> contextlib.AbstractContextManager[None]:
    """`memory_errors` for running a network on windows (B, C, *grid)."""
    doing = f"run the network on a window of {tuple(x.shape[2:])}"
    return memory_errors(x.device, doing, "give a smaller patch")


@contextlib.contextmanager
def true_float32() -> Iterator[None]:
    """Let GPUs compute float32 as such while the block runs.

    Notes
    -----
    By default torch lets them round the factors of convolutions to 10 bits (TF32), which changes
    probabilities by up to a hundredth.
    """
    before = torch.backends.cudnn.allow_tf32
    try:
        torch.backends.cudnn.allow_tf32 = False
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
