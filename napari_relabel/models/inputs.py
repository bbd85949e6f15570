"""Check that an image suits a network before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_relabel.models.members import Member
from napari_relabel.models.network import Network

_REMEDIES = {
    (1, 3): "repeat the grey channel three times: numpy.stack([image] * 3, axis=-1)",
    (2, 1): "keep the grey channel and drop the transparency: image[..., 0]",
    (2, 3): "drop the transparency and repeat the grey channel: image[..., [0, 0, 0]]",
    (3, 1): "convert it to grey: skimage.color.rgb2gray(image)",
    (4, 1): "convert it to grey: skimage.color.rgb2gray(image[..., :3])",
    (4, 3): "drop the transparency: image[..., :3]",
}


def channels_first(
    image: npt.ArrayLike, channel_axis: int | None
) -> npt.NDArray[np.number | np.bool_]:
    """Check an image and bring its channels to the front.

    Parameters
    ----------
    image : array_like
        A grid of 2 or 3 axes, plus `channel_axis` where there is one; real and finite.
    channel_axis : int or None
        Axis of the channels; None for an image without such an axis.

    Returns
    -------
    ndarray, shape (C, *grid)
        A view where possible.

    Raises
    ------
    ValueError
        If it is not such an image.
    """
    array = np.asarray(image)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"an image of real numbers is needed, not of dtype {array.dtype}")
    if channel_axis is None:
        array = array[None]
    else:
        if not -array.ndim <= channel_axis < array.ndim:
            raise ValueError(
                f"channel_axis={channel_axis} does not exist in an image of shape {array.shape}"
            )
        array = np.moveaxis(array, channel_axis, 0)
    if array.ndim - 1 not in (2, 3):
        raise ValueError(
            f"the image has {array.ndim - 1} axes besides channels (shape {np.shape(image)}, "
            f"channel_axis={channel_axis}), 2 or 3 are needed"
        )
    if array.size == 0:
        raise ValueError(f"the image is empty: its shape is {np.shape(image)}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int(array.size - np.isfinite(array).sum())
        raise ValueError(
            f"the image has {bad} values that are NaN or infinite: replace them, for example by "
            f"numpy.nan_to_num(image)"
        )
    return array


def check_fits(array: npt.NDArray[np.generic], member: Member, channel_axis: int | None) -> None:
    """Check axes and channels of an image against a network.

    Parameters
    ----------
    array : ndarray, shape (C, *grid)
        From `channels_first`.
    member : Member
        The network.
    channel_axis : int or None
        As the caller gave it, for the message.

    Raises
    ------
    ValueError
        If they don't fit; the message says what the network expects and what to do.
    """
    check_shape(array.shape[0], array.shape[1:], member, channel_axis)


def check_shape(
    channels: int, grid: Sequence[int], member: Member, channel_axis: int | None
) -> None:
    """`check_fits` for an image of which only the shape is at hand."""
    config = member.config
    dims = Network(member.module).spatial_dims if config is None else config.spatial_dims
    if dims is not None and dims != len(grid):
        hint = ""
        if channel_axis is None and len(grid) == dims + 1:
            axis = -1 if grid[-1] <= 4 else 0
            if grid[axis] <= 4:
                hint = f"; if axis {axis} holds the channels, give channel_axis={axis}"
            elif dims == 2:
                hint = "; estimate it slice by slice, or use a 3D model"
        raise ValueError(
            f"the network is for {dims}D images, this one has {len(grid)} axes besides channels "
            f"({tuple(grid)}){hint}"
        )
    if config is None or config.in_channels == channels:
        return
    remedy = _REMEDIES.get((channels, config.in_channels), "use a model that was trained for them")
    raise ValueError(
        f"the network expects {_channels(config.in_channels)}, the image has "
        f"{_channels(channels)}: {remedy}"
    )


def _channels(n: int) -> str:
    names = {1: " (grey)", 2: " (grey and transparency)", 3: " (RGB)", 4: " (RGBA)"}
    return f"{n} channel{'s' if n > 1 else ''}{names.get(n, '')}"
