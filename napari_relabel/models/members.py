"""What people pass as a model, as a list of networks with what is known about each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from napari_relabel.models.checkpoint import Checkpoint, content_hash_of
from napari_relabel.models.loading import LoadedModel, load_models
from napari_relabel.models.preprocess import WorkingGrid
from napari_relabel.models.unet import RelabelUNet, UNetConfig

ModelLike = Path | str | LoadedModel | nn.Module


@dataclass(frozen=True, eq=False)
class Member:
    """A network and what is known about it.

    Parameters
    ----------
    module : nn.Module
        Gives logits.
    checkpoint : Checkpoint, optional
        None for a module that was passed as it is: it gets images as they are.
    content_hash : str
        SHA-256 over weights and description.
    """

    module: nn.Module
    checkpoint: Checkpoint | None
    content_hash: str

    @property
    def config(self) -> UNetConfig | None:
        """Architecture, where it is ours."""
        return self.module.config if isinstance(self.module, RelabelUNet) else None

    @property
    def working(self) -> WorkingGrid:
        """The grid on which the network works."""
        return WorkingGrid() if self.checkpoint is None else self.checkpoint.working

    def saw(self, case_id: str) -> bool:
        """Whether the network is known to have been trained on a case."""
        return self.checkpoint is not None and case_id in self.checkpoint.training_cases


def members_of(model: ModelLike | Sequence[ModelLike]) -> tuple[Member, ...]:
    """Load whatever was passed as a model.

    Parameters
    ----------
    model : path, LoadedModel, nn.Module, or a sequence of these
        A RUN folder may hold several members.

    Returns
    -------
    tuple of Member
        At least one.

    Raises
    ------
    TypeError
        If it is something else.
    ValueError
        If it is an empty sequence.
    InputError
        If a file cannot be read.
    """
    if isinstance(model, LoadedModel):
        return (Member(model.network, model.checkpoint, model.content_hash),)
    if isinstance(model, nn.Module):
        return (Member(model, None, _module_hash(model)),)
    if isinstance(model, (str, Path)):
        return tuple(m for loaded in load_models(model) for m in members_of(loaded))
    if isinstance(model, Sequence):
        if not model:
            raise ValueError("no model was given: an ensemble needs at least two")
        return tuple(m for part in model for m in members_of(part))
    raise TypeError(
        f"a model is a path, a loaded model, a torch module or a list of these, "
        f"not {type(model).__name__}"
    )


def unseen(members: Sequence[Member], case_id: str | None) -> tuple[tuple[Member, ...], str]:
    """Choose the members that may judge a case, and say what a reviewer should know.

    Parameters
    ----------
    members : sequence of Member
        All there are.
    case_id : str or None
        The case, where it is known.

    Returns
    -------
    members : tuple of Member
        Those that were not trained on the case, where there are any; else all.
    note : str
        Empty, or that all were trained on it.
    """
    if case_id is None:
        return tuple(members), ""
    fresh = tuple(member for member in members if not member.saw(case_id))
    if fresh:
        return fresh, ""
    return tuple(members), (
        "The model was trained on this case and has partly learnt its labels: errors in them look "
        "more certain than they are."
    )


def combined_hash(members: Sequence[Member]) -> str:
    """Content hash of one member, or of several in any order."""
    hashes = sorted(member.content_hash for member in members)
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _module_hash(module: nn.Module) -> str:
    state = module.state_dict()
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    return content_hash_of(type(module).__qualname__, tensors)
