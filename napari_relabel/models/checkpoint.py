"""A trained network and everything needed to apply it, in one file that holds no code.

The file is a dictionary written by ``torch.save``: plain ``torch.load(weights_only=True)`` opens
it, which never runs code from the file, and its ``"weights"`` are a state_dict of MONAI's
BasicUNet. safetensors would do as well, but training resumes from torch files anyway and one
format is enough.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_relabel.io.atomic import atomic_path
from napari_relabel.io.errors import InputError
from napari_relabel.io.hashing import check_file
from napari_relabel.models.familiar import Familiar
from napari_relabel.models.preprocess import Normalisation, WorkingGrid
from napari_relabel.models.torchfile import check_plain, is_state_dict, read_torch_file
from napari_relabel.models.unet import RelabelUNet, UNetConfig

FORMAT = "napari-relabel model"
SCHEMA = 1


@dataclass(frozen=True)
class Checkpoint:
    """What a model file says about its network.

    Parameters
    ----------
    config : UNetConfig
        Architecture.
    normalisation : Normalisation
        What is done to intensities.
    working : WorkingGrid
        Size or voxel size at which the network works, and its patch.
    class_names : dict of int to str
        Name per class index 0..K-1.
    label_values : tuple of int, optional
        The values that stand for classes 0..K-1 in the label files that it was trained on.
    training_cases : tuple of str
        Ids of the cases whose labels it has seen.
    loss : str
        Name of the training loss.
    epochs : int
        Epochs trained, not negative.
    seed : int
        Seed of the training.
    familiar : Familiar, optional
        What the images that it was trained on had in common.
    content_hash : str
        SHA-256 over all of the above and the weights; set when saving or loading.

    Raises
    ------
    ValueError
        If the parts contradict each other.
    """

    config: UNetConfig
    normalisation: Normalisation = field(default_factory=Normalisation)
    working: WorkingGrid = field(default_factory=WorkingGrid)
    class_names: Mapping[int, str] = field(default_factory=dict)
    label_values: tuple[int, ...] | None = None
    training_cases: tuple[str, ...] = ()
    loss: str = ""
    epochs: int = 0
    seed: int = 0
    familiar: Familiar | None = None
    content_hash: str = ""

    def __post_init__(self) -> None:
        n_classes, dims = self.config.n_classes, self.config.spatial_dims
        if any(not 0 <= index < n_classes for index in self.class_names):
            raise ValueError(
                f"class names for indices {sorted(self.class_names)}, the network has classes "
                f"0..{n_classes - 1}"
            )
        if self.label_values is not None and len(self.label_values) != n_classes:
            raise ValueError(f"{len(self.label_values)} label values for {n_classes} classes")
        for name in ("size", "spacing_mm", "patch"):
            value = getattr(self.working, name)
            if value is not None and len(value) != dims:
                raise ValueError(f"the working {name} {value} does not have {dims} axes")
        fixed = len(self.normalisation.mean)
        if self.normalisation.scheme == "fixed" and fixed != self.config.in_channels:
            raise ValueError(
                f"normalisation of {fixed} channels for a network of {self.config.in_channels}"
            )
        if self.familiar is not None:
            channels, axes = len(self.familiar.intensities), self.familiar.voxel_mm
            if {channels, len(self.familiar.spreads)} != {self.config.in_channels}:
                raise ValueError(f"intensities of {channels} channels were noted")
            if axes is not None and len(axes) != dims:
                raise ValueError(f"voxel sizes of {len(axes)} axes were noted")
        if self.epochs < 0:
            raise ValueError(f"epochs cannot be negative, not {self.epochs}")


def save_checkpoint(path: Path | str, checkpoint: Checkpoint, network: RelabelUNet) -> Checkpoint:
    """Write a model file, atomically.

    Parameters
    ----------
    path : Path or str
        Target, by convention ``model.pt``.
    checkpoint : Checkpoint
        What to say about the network; its `content_hash` is ignored.
    network : RelabelUNet
        The trained network, built from ``checkpoint.config``.

    Returns
    -------
    Checkpoint
        `checkpoint` with its content hash.

    Raises
    ------
    ValueError
        If the network was built from another configuration.
    InputError
        If the file cannot be written.
    """
    if network.config != checkpoint.config:
        raise ValueError(
            f"the network was built from {network.config}, the checkpoint says {checkpoint.config}"
        )
    weights = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    about = _about_to_json(checkpoint)
    content_hash = content_hash_of(about, weights)
    file = {
        "format": FORMAT,
        "schema": SCHEMA,
        "about": about,
        "weights": weights,
        "sha256": content_hash,
    }
    with atomic_path(path) as temporary:
        torch.save(file, temporary)
    return dataclasses.replace(checkpoint, content_hash=content_hash)


def load_checkpoint(path: Path | str) -> tuple[Checkpoint, RelabelUNet]:
    """Read a model file; no code in it is ever run.

    Parameters
    ----------
    path : Path or str
        File written by `save_checkpoint`.

    Returns
    -------
    checkpoint : Checkpoint
        With its content hash.
    network : RelabelUNet
        On the CPU, in evaluation mode.

    Raises
    ------
    InputError
        If the file is missing, damaged, altered, not a model file of this package, or written by
        a newer version of it.
    """
    path = check_file(path)
    file = read_torch_file(path)
    if not isinstance(file, dict) or file.get("format") != FORMAT:
        raise InputError(
            f"{path} is not a model of napari-relabel: give the model.pt of a training run, or "
            f"load the network yourself and pass the torch module"
        )
    schema = file.get("schema")
    if not isinstance(schema, int) or schema < 1:
        raise InputError(f"{path} has no valid schema version: train the model again")
    if schema > SCHEMA:
        raise InputError(
            f"{path} was written by a newer version of napari-relabel (schema {schema}, this one "
            f"reads up to {SCHEMA}): upgrade with pip install -U napari-relabel"
        )
    about, weights = file.get("about"), file.get("weights")
    if not isinstance(about, str) or not is_state_dict(weights):
        raise InputError(f"{path} is incomplete: copy it again from its source")
    check_plain(path, weights)
    if content_hash_of(about, weights) != file.get("sha256"):
        raise InputError(
            f"{path} does not match its checksum, so it was damaged or altered: copy it again from "
            f"its source"
        )
    try:
        checkpoint = _about_from_json(about, file["sha256"])
        network = network_of(checkpoint.config, weights)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise InputError(f"{path} contradicts itself ({error}): train the model again") from error
    return checkpoint, network.eval()


def network_of(config: UNetConfig, weights: Mapping[str, Tensor]) -> RelabelUNet:
    """A network with weights; RuntimeError where these are not those of its configuration.

    Notes
    -----
    Shapes are compared with those of a network without memory first: a configuration from a file
    may ask for any size.
    """
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in RelabelUNet(config).state_dict().items()}
    if shapes != {name: value.shape for name, value in weights.items()}:
        raise RuntimeError("the weights are not those of the architecture")
    network = RelabelUNet(config)
    network.load_state_dict(weights, strict=True)
    return network


def _about_to_json(checkpoint: Checkpoint) -> str:
    about = dataclasses.asdict(checkpoint)
    del about["content_hash"]
    if checkpoint.familiar is None:
        del about["familiar"]  # The hash of a model that was saved before stays.
    return json.dumps(about, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _about_from_json(text: str, content_hash: str) -> Checkpoint:
    about: dict[str, Any] = json.loads(text)
    values = about.pop("label_values")
    return Checkpoint(
        config=UNetConfig(**about.pop("config")),
        normalisation=Normalisation.from_json(about.pop("normalisation")),
        working=WorkingGrid.from_json(about.pop("working")),
        class_names={int(index): name for index, name in about.pop("class_names").items()},
        label_values=None if values is None else tuple(values),
        training_cases=tuple(about.pop("training_cases")),
        familiar=Familiar.from_json(about.pop("familiar", None)),
        content_hash=content_hash,
        **about,
    )


def content_hash_of(about: str, weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over a description and all weights.

    Parameters
    ----------
    about : str
        Everything but the weights that matters.
    weights : mapping of str to Tensor
        Parameters and buffers by name.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(about.encode())
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
