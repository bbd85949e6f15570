"""What people pass as a model, as a list of networks with what is known about each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from napari_relabel.models.checkpoint import content_hash_of
from napari_relabel.models.familiar import Familiar
from napari_relabel.models.foreign import ForeignModel
from napari_relabel.models.loading import LoadedModel
from napari_relabel.models.opening import open_models
from napari_relabel.models.placement import Place
from napari_relabel.models.preprocess import Preparation, WorkingGrid
from napari_relabel.models.unet import RelabelUNet, UNetConfig

ModelLike = Path | str | LoadedModel | ForeignModel | nn.Module


@dataclass(frozen=True, eq=False)
class Member:
    """A network and what is known about it.

    Parameters
    ----------
    module : nn.Module
        Gives logits.
    content_hash : str
        SHA-256 over weights and description.
    normalisation : Preparation, optional
        None: it gets intensities as they are.
    working : WorkingGrid
        The grid on which it works; by default that of the image.
    training_cases : tuple of str
        Ids of the cases that it is known to have been trained on.
    place : Place, optional
        How images are turned and cut for it; by default they stay as they are.
    familiar : Familiar, optional
        What the images that it was trained on had in common, where that is known.
    fixed : bool
        Whether it takes windows of the size of ``working.patch`` only.
    """

    module: nn.Module
    content_hash: str
    normalisation: Preparation | None = None
    working: WorkingGrid = field(default_factory=WorkingGrid)
    training_cases: tuple[str, ...] = ()
    place: Place | None = None
    familiar: Familiar | None = None
    fixed: bool = False

    @property
    def config(self) -> UNetConfig | None:
        """Architecture, where it is ours."""
        return self.module.config if isinstance(self.module, RelabelUNet) else None


def members_of(model: ModelLike | Sequence[ModelLike]) -> tuple[Member, ...]:
    """Load whatever was passed as a model.

    Parameters
    ----------
    model : path, LoadedModel, ForeignModel, nn.Module, or a sequence of these
        A RUN folder may hold several members, as may an nnU-Net.

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
        If a file cannot be read, or may run code and is not trusted.
    """
    if isinstance(model, LoadedModel):
        about = model.checkpoint
        return (
            Member(
                model.network,
                about.content_hash,
                about.normalisation,
                about.working,
                about.training_cases,
                familiar=about.familiar,
            ),
        )
    if isinstance(model, ForeignModel):
        return (
            Member(
                model.module,
                model.content_hash or _module_hash(model.module),
                model.normalisation,
                model.working,
                place=model.place,
                fixed=model.fixed,
            ),
        )
    if isinstance(model, nn.Module):
        return (Member(model, _module_hash(model)),)
    if isinstance(model, (str, Path)):
        return tuple(m for opened in open_models(model) for m in members_of(opened))
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
    fresh = tuple(member for member in members if case_id not in member.training_cases)
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
