"""Sliding windows: where they lie, and how the moments of each become maps of the whole image.

All N samples are drawn inside a window before the next one is begun, and the *moments* of the
windows are blended. The alternative, N passes over the whole image that are each stitched from
windows, is biased: the masks of overlapping windows are independent, so in the overlaps every
pass is an average of several draws, and their variance, the epistemic part, comes out too small
(half of it where two windows meet).

Blending treats a voxel's windows as a mixture: a sample of it is a sample of window w with
probability a_w, its normalised importance. So

- mean = sum_w a_w mean_w, what blending deterministic predictions gives,
- variance = sum_w a_w variance_w + sum_w a_w (mean_w - mean)^2, by the law of total variance,
- expected entropy = sum_w a_w (expected entropy)_w.

With the second term, which is how much the prediction depends on the context that a window
happens to show, total = aleatoric + epistemic holds exactly, with aleatoric = mean of p (1 - p)
over all samples of all windows. Without it that part would be called aleatoric.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from napari_relabel.core.arrays import FloatArray
from napari_relabel.models.resample import axis_weights, resample

OVERLAP = 0.25
"""Share of a window that the next one covers again."""

LARGEST_WHOLE = {2: 1024**2, 3: 128**3}
"""Voxels up to which a grid is taken at once where no patch is declared, per number of axes."""

DEFAULT_PATCH = {2: 512, 3: 96}


class _Span(NamedTuple):
    # One window along one axis.
    start: int  # first voxel on the working grid
    image: slice  # the voxels of the image that it determines
    weights: Tensor | None  # from the window to these voxels; None: they are the same
    importance: Tensor  # of these voxels, float32


class Window(NamedTuple):
    """One window: `spans` per axis, and its `number`."""

    number: int
    spans: tuple[_Span, ...]

    @property
    def image(self) -> tuple[slice, ...]:
        """The part of the image grid that it determines."""
        return tuple(span.image for span in self.spans)


class Layout:
    """Windows over the working grid of an image, and the way back to the image's own grid.

    Parameters
    ----------
    image_grid : sequence of int
        Shape of the image without channels.
    working_grid : sequence of int
        Its shape on the working grid.
    patch : sequence of int, optional
        Size of a window. Default: the whole working grid, or 512 pixels or 96 voxels per axis where
        that is more than about a megapixel or 2 million voxels.

    Raises
    ------
    ValueError
        If the numbers of axes differ, or the patch has fewer than 2 voxels along an axis.

    Notes
    -----
    Every probability map is interpolated to the image grid before it is folded, so that the moments
    there are those of the interpolated samples: interpolating a variance is not the same. Windows
    overlap by a quarter; the importance is a Gaussian of 1/8 of the window, at least 1/1000.
    """

    def __init__(
        self,
        image_grid: Sequence[int],
        working_grid: Sequence[int],
        patch: Sequence[int] | None = None,
    ) -> None:
        ndim = len(working_grid)
        if patch is None:
            whole = math.prod(working_grid) <= LARGEST_WHOLE[ndim]
            patch = working_grid if whole else [DEFAULT_PATCH[ndim]] * ndim
            patch = [min(p, n) for p, n in zip(patch, working_grid, strict=True)]
        elif len(patch) != ndim or min(patch) < 2:
            raise ValueError(
                f"a patch of {tuple(patch)} does not fit a grid of {ndim} axes: give {ndim} sizes "
                f"of at least 2"
            )
        self.image_grid = tuple(image_grid)
        self.patch = tuple(patch)
        axes = zip(image_grid, working_grid, patch, strict=True)
        self._spans = [_spans(n_image, n, size) for n_image, n, size in axes]

    def __len__(self) -> int:
        return math.prod(len(spans) for spans in self._spans)

    def __iter__(self) -> Iterator[Window]:
        for number, spans in enumerate(itertools.product(*self._spans)):
            yield Window(number, spans)

    def touching(self, box: tuple[slice, ...]) -> Iterator[Window]:
        """Windows that determine voxels of a box of the image grid, in the order of iteration."""
        counts = [len(spans) for spans in self._spans]
        near = [
            [
                (n, s)
                for n, s in enumerate(spans)
                if s.image.start < b.stop and b.start < s.image.stop
            ]
            for spans, b in zip(self._spans, box, strict=True)
        ]
        for found in itertools.product(*near):
            number = int(np.ravel_multi_index([n for n, _ in found], counts))
            yield Window(number, tuple(span for _, span in found))

    def cut(self, x: Tensor, window: Window) -> Tensor:
        """Cut a window from (1, C, *working grid), repeating border values where it sticks out."""
        for axis, (span, size) in enumerate(zip(window.spans, self.patch, strict=True), start=2):
            index = torch.arange(span.start, span.start + size).clamp_(max=x.shape[axis] - 1)
            x = x.index_select(axis, index.to(x.device))
        return x

    def to_image(self, p: Tensor, window: Window, part: tuple[slice, ...] | None = None) -> Tensor:
        """Bring probabilities (K, *patch) to the voxels ``window.image`` of the image grid.

        Parameters
        ----------
        p : Tensor, shape (K, *patch)
            On the working grid.
        window : Window
            Which.
        part : tuple of slice, optional
            Only these of the voxels, counted from the first.

        Returns
        -------
        Tensor, shape (K, *voxels), float32
            Where `p` is, contiguous.
        """
        if part is None:
            part = tuple(slice(0, s.image.stop - s.image.start) for s in window.spans)
        with torch.inference_mode():
            weights = [
                None if s.weights is None else s.weights[along].to(p.device)
                for s, along in zip(window.spans, part, strict=True)
            ]
            out = resample(p, weights)
            for axis, (weight, along) in enumerate(zip(weights, part, strict=True), start=1):
                if weight is None:
                    out = out.narrow(axis, along.start, along.stop - along.start)
            if any(w is not None for w in weights):
                out.clamp_(0, 1)
            return out.contiguous()

    def importance(self, window: Window) -> FloatArray:
        """Weight of each voxel of ``window.image``, in [0.001, 1]."""
        out = torch.ones(())
        for span in window.spans:
            out = out[..., None] * span.importance
        array: FloatArray = out.clamp_(min=1e-3).numpy()
        return array


def _spans(n_image: int, n: int, size: int) -> list[_Span]:
    importance = _gaussian(size)
    if n_image == n:
        return [
            _Span(start, slice(start, min(start + size, n)), None, importance[: n - start])
            for start in _starts(n, size)
        ]
    matrix = axis_weights(n, n_image, antialias=False)
    if size > n:
        matrix = torch.cat([matrix, torch.zeros(n_image, size - n)], dim=1)
    spans = []
    for start in _starts(n, size):
        block = matrix[:, start : start + size]
        # The voxels of the image whose neighbours are all inside; they are contiguous.
        rows = torch.nonzero(block.sum(dim=1) > 1 - 1e-4)[:, 0]
        inside = slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 0)
        weights = block[inside].contiguous()
        spans.append(_Span(start, inside, weights, weights @ importance))
    return [span for span in spans if span.image.stop > span.image.start]


def _meet(one: slice, other: slice) -> bool:
    return bool(one.start < other.stop and other.start < one.stop)


def _starts(n: int, size: int) -> list[int]:
    if size >= n:
        return [0]
    step = max(1, min(size - 1, int(size * (1 - OVERLAP))))
    return [min(start, n - size) for start in range(0, n - size + step, step)]


def _gaussian(size: int) -> Tensor:
    x = torch.arange(size) - (size - 1) / 2
    return torch.exp(-(x**2) / (2 * (size / 8) ** 2))


class BlendedMaps:
    """Moment maps of a whole image from those of its windows; see the module's description.

    Parameters
    ----------
    grid : sequence of int
        Shape of the image without channels.
    """

    def __init__(self, grid: Sequence[int]) -> None:
        self._grid = tuple(grid)
        self._weight = np.zeros(self._grid, np.float32)
        self.mean = np.zeros((0, *self._grid), np.float32)
        self.variance = np.zeros(self._grid, np.float32)
        self.expected_entropy = np.zeros(self._grid, np.float32)

    def add(
        self,
        where: tuple[slice, ...],
        importance: FloatArray,
        mean: FloatArray,
        variance: FloatArray,
        expected_entropy: FloatArray,
    ) -> None:
        """Blend in one window.

        Parameters
        ----------
        where : tuple of slice
            Its part of the grid.
        importance : ndarray, shape part, float32
            Positive weights.
        mean : ndarray, shape (K, *part), float32
        variance, expected_entropy : ndarray, shape part, float32
            Moments of its samples, variance as half the trace.
        """
        if not len(self.mean):
            self.mean = np.zeros((mean.shape[0], *self._grid), np.float32)
        # An incremental weighted mean and variance (West 1979): no difference of large sums.
        weight = self._weight[where]
        weight += importance
        share = importance / weight
        between = np.zeros_like(share)
        for blended, new in zip(self.mean[(slice(None), *where)], mean, strict=True):
            delta = new - blended
            between += delta * delta
            blended += share * delta
        between *= np.float32(0.5) * (1 - share)
        part = self.variance[where]
        part += share * (variance - part + between)
        entropy = self.expected_entropy[where]
        entropy += share * (expected_entropy - entropy)
