"""Find and load models: files, RUN folders with one or several members, and the bundled ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from napari_relabel.io.errors import InputError
from napari_relabel.models.checkpoint import Checkpoint, load_checkpoint
from napari_relabel.models.fused import keep_fused
from napari_relabel.models.unet import RelabelUNet

MODEL_NAME = "model.pt"
"""Name of the model file in a RUN folder."""

_BUNDLED = Path(__file__).parent / "bundled"


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model file in memory.

    Parameters
    ----------
    path : Path
        Where it came from.
    checkpoint : Checkpoint
        What the file says about the network.
    network : RelabelUNet
        In evaluation mode, on the CPU; not to be changed, because quicker copies of it are kept.
    """

    path: Path
    checkpoint: Checkpoint
    network: RelabelUNet

    @property
    def name(self) -> str:
        """Name of the file without suffix, or of the folder of a ``model.pt``."""
        return self.path.parent.name if self.path.name == MODEL_NAME else self.path.stem

    @property
    def content_hash(self) -> str:
        """SHA-256 over weights and description."""
        return self.checkpoint.content_hash

    @property
    def n_classes(self) -> int:
        """Number of classes K, background included."""
        return self.checkpoint.config.n_classes

    @property
    def spatial_dims(self) -> int:
        """Number of axes of the images it takes: 2 or 3."""
        return self.checkpoint.config.spatial_dims

    @property
    def class_names(self) -> Mapping[int, str]:
        """Name per class index."""
        return self.checkpoint.class_names

    @property
    def training_cases(self) -> tuple[str, ...]:
        """Ids of the cases whose labels it has seen."""
        return self.checkpoint.training_cases


def bundled_models() -> dict[str, Path]:
    """Path of every model that comes with the package, by name.

    Returns
    -------
    dict of str to Path
        Sorted by name.
    """
    return {path.stem: path for path in sorted(_BUNDLED.glob("*.pt"))}


def load_model(path: Path | str) -> LoadedModel:
    """Load one model.

    Parameters
    ----------
    path : Path or str
        A model file, a RUN folder that holds one model, or the name of a bundled model.

    Returns
    -------
    LoadedModel

    Raises
    ------
    InputError
        If there is no model, there are several, or it cannot be read.
    """
    files = model_files(path)
    if len(files) > 1:
        names = ", ".join(file.parent.name for file in files)
        raise InputError(f"{path} holds {len(files)} models ({names}): name one of these folders")
    return _load(files[0])


def load_models(path: Path | str) -> tuple[LoadedModel, ...]:
    """Load every model of a file, a RUN folder or a bundled name; see `model_files`.

    Parameters
    ----------
    path : Path or str
        Where.

    Returns
    -------
    tuple of LoadedModel
        At least one, in order of the names of their folders.

    Raises
    ------
    InputError
        If there is no model, or one cannot be read.
    """
    return tuple(_load(file) for file in model_files(path))


def model_files(path: Path | str) -> tuple[Path, ...]:
    """The model files that a path stands for.

    Parameters
    ----------
    path : Path or str
        A file; a RUN folder with ``model.pt``, or with one folder per member that holds it
        (ensembles, folds); or the name of a bundled model.

    Returns
    -------
    tuple of Path
        At least one.

    Raises
    ------
    InputError
        If there is none.
    """
    found = Path(path)
    if not found.exists():
        bundled = bundled_models()
        if str(path) in bundled:
            return (bundled[str(path)],)
        choices = f", or a bundled model: {', '.join(bundled)}" if bundled else ""
        raise InputError(
            f"{path} does not exist: give a file or folder with a model, a Python function as "
            f"file.py:function{choices}"
        )
    if not found.is_dir():
        return (found,)
    if (found / MODEL_NAME).is_file():
        return (found / MODEL_NAME,)
    members = tuple(sorted(found.glob(f"*/{MODEL_NAME}")))
    if not members:
        raise InputError(
            f"{found} holds no {MODEL_NAME}: give the folder of a training run that has finished "
            f"an epoch"
        )
    return members


def _load(file: Path) -> LoadedModel:
    checkpoint, network = load_checkpoint(file)
    keep_fused(network)
    return LoadedModel(file, checkpoint, network)
