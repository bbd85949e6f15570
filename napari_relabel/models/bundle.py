"""MONAI bundles: the network, and the preprocessing that the bundle declares."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.bundle.config_parser import ConfigParser
from monai.transforms.compose import Compose
from monai.transforms.intensity import dictionary as intensities
from monai.transforms.spatial.dictionary import Orientationd, Resized, Spacingd
from monai.utils.misc import ensure_tuple
from torch import nn

from napari_relabel.core.arrays import FloatArray
from napari_relabel.io.errors import InputError
from napari_relabel.io.hashing import check_file
from napari_relabel.io.modelfiles import ModelFiles
from napari_relabel.models.foreign import ForeignModel
from napari_relabel.models.placement import Orientation
from napari_relabel.models.preprocess import WorkingGrid
from napari_relabel.models.resample import resize
from napari_relabel.models.weights import read_weights

#: Transforms that only bring a file into memory, which is done already.
_READING = (
    "LoadImaged",
    "EnsureChannelFirstd",
    "EnsureTyped",
    "CastToTyped",
    "ToTensord",
    "ToDeviced",
    "Identityd",
    "SelectItemsd",
)


@dataclass(frozen=True, eq=False)
class BundleIntensities:
    """The intensity transforms of a bundle, as MONAI applies them.

    Parameters
    ----------
    key : str
        Name of the image in the bundle.
    before, after : tuple
        Dictionary transforms before and after resampling.
    """

    key: str
    before: tuple[Any, ...]
    after: tuple[Any, ...]

    def onto(self, image: npt.NDArray[Any], shape: Sequence[int]) -> FloatArray:
        """Bring an image (C, *grid) to a working grid and to the network's intensities."""
        return self._run(self.after, resize(self._run(self.before, image), shape))

    def _run(self, steps: tuple[Any, ...], image: npt.NDArray[Any]) -> FloatArray:
        values = {self.key: torch.from_numpy(np.ascontiguousarray(image, np.float32))}
        for step in steps:
            values = step(values)
        return np.asarray(values[self.key], np.float32)


def load_bundle(model: ModelFiles) -> ForeignModel:
    """Load a MONAI bundle; its configuration may run code.

    Parameters
    ----------
    model : ModelFiles
        Its folder, with ``configs/inference.json`` (or ``train``, or YAML) that defines
        ``network_def`` (or ``network``) and ``preprocessing``, and ``models/model.pt``.

    Returns
    -------
    ForeignModel
        With the preprocessing of the bundle: orientation, voxel size or size, intensities.

    Raises
    ------
    InputError
        If it is no such folder, or its preprocessing has other transforms.
    """
    folder = model.path
    configs = [
        path
        for stem in ("inference", "train")
        for suffix in (".json", ".yaml", ".yml")
        if (path := folder / "configs" / f"{stem}{suffix}").is_file()
    ]
    if not configs:
        raise InputError(f"{folder} is no MONAI bundle: it has no configs/inference.json")
    weights = check_file(folder / "models" / "model.pt")
    parser = ConfigParser()
    parser.read_config(str(configs[0]))
    parser["bundle_root"] = str(folder)
    name = "network_def" if "network_def" in parser else "network"
    with _importable(folder):
        network: nn.Module = parser.get_parsed_content(name)
        network.load_state_dict(read_weights(weights), strict=True)
        loaded = ForeignModel(folder.name, network.cpu().eval())
        if "preprocessing" not in parser:
            return loaded
        preprocessing = parser.get_parsed_content("preprocessing")
    return _prepared(loaded, preprocessing, folder.name, _patch(parser))


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let a configuration import the bundle's own ``scripts``."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _patch(parser: ConfigParser) -> tuple[int, ...] | None:
    inferer = parser["inferer"] if "inferer" in parser else None
    size = inferer.get("roi_size") if isinstance(inferer, Mapping) else None
    if isinstance(size, str):
        size = parser.get_parsed_content("inferer::roi_size")
    return tuple(int(n) for n in size) if isinstance(size, Sequence) and min(size) > 0 else None


def _prepared(
    model: ForeignModel, preprocessing: Any, name: str, patch: tuple[int, ...] | None
) -> ForeignModel:
    steps = preprocessing.transforms if isinstance(preprocessing, Compose) else (preprocessing,)
    place = spacing = size = None
    key = ""
    before: list[Any] = []
    after: list[Any] = []
    for step in steps:
        kind = type(step).__name__
        if kind in _READING:
            continue
        key = key or next(iter(step.keys))
        if isinstance(step, Orientationd) and spacing is None and size is None:
            place = Orientation(str(step.ornt_transform.axcodes))
        elif isinstance(step, Spacingd):
            spacing = tuple(float(mm) for mm in step.spacing_transform.pixdim)
        elif isinstance(step, Resized) and step.resizer.size_mode == "all":
            size = ensure_tuple(step.resizer.spatial_size)
        elif getattr(intensities, kind, None) is type(step):
            (before if spacing is None and size is None else after).append(step)
        else:
            raise InputError(
                f"{name}: its preprocessing has {kind}, which is not applied here (applied are "
                "orientation, voxel size, size and intensities): give a Python function that "
                "returns the network, or remove the step from the configuration"
            )
    if spacing is None and size is None:
        # Nothing is resampled, so that the order does not matter.
        before, after = after, before
    return ForeignModel(
        model.name,
        model.module,
        BundleIntensities(key, tuple(before), tuple(after)) if before or after else None,
        WorkingGrid(size, spacing, patch),
        place,
    )
