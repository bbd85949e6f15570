"""Windows that are sampled once, and blocks that are blended from them.

A window's result is kept in a file until all blocks that it reaches are written. A block is blended
from its windows in the order in which a whole image would be, so that its numbers are the same.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from napari_relabel.core.arrays import FloatArray
from napari_relabel.core.boxes import Box, boxes, common, shape_of, within
from napari_relabel.core.progress import Progress
from napari_relabel.io.estimatestore import EstimateStore
from napari_relabel.models.devicemoments import DeviceMoments
from napari_relabel.models.lazyinput import Prepared, Source
from napari_relabel.models.members import Member
from napari_relabel.models.preprocess import Normalisation, Preparation
from napari_relabel.models.samplers import Sampler
from napari_relabel.models.tiling import BlendedMaps, Layout, Window
from napari_relabel.models.windowfiles import WindowFiles


class Inputs:
    """The windows that each network is to see; networks prepared alike share one.

    Parameters
    ----------
    members : sequence of Member
        The networks; they prepare images by a `Normalisation` or not at all.
    source : Source
        The image on the working grid.
    """

    def __init__(self, members: Sequence[Member], source: Source) -> None:
        self._members = members
        prepared: dict[Preparation | None, Prepared] = {}
        for member in members:
            how = member.normalisation
            assert how is None or isinstance(how, Normalisation)
            if how not in prepared:
                prepared[how] = Prepared(source, how)
        self._prepared = prepared

    def cut(self, start: Sequence[int], size: Sequence[int]) -> list[Tensor]:
        """One window for each network, shape (1, C, *size)."""
        cuts = {how: image.cut(start, size) for how, image in self._prepared.items()}
        return [cuts[m.normalisation] for m in self._members]


class _Needed(NamedTuple):
    number: int
    box: Box
    windows: tuple[Window, ...]


class BlockWork:
    """Windows that are sampled and blocks that are written, until none is left.

    Parameters
    ----------
    layout : Layout
        Where the windows lie.
    sampler : Sampler
        Draws the samples of each.
    inputs : Inputs
        What the networks see.
    store : EstimateStore
        Gets the blocks, one per chunk.
    folder : Path
        For results of windows, and marks of blocks that are written: what is there is gone on with.
    resampled : bool
        Whether the working grid is another than the image's: then samples are kept and not moments,
        because those of a block are those of its interpolated samples.
    """

    def __init__(
        self,
        layout: Layout,
        sampler: Sampler,
        inputs: Inputs,
        store: EstimateStore,
        folder: Path,
        *,
        resampled: bool,
    ) -> None:
        self._layout = layout
        self._sampler = sampler
        self._inputs = inputs
        self._store = store
        self._resampled = resampled
        self._files = WindowFiles(folder / "windows")
        self._marks = folder / "blocks"

    def steps(self) -> Generator[Progress, None, None]:
        """Do what is left; yields after every sample."""
        self._marks.mkdir(exist_ok=True)
        every = [
            _Needed(n, box, tuple(self._layout.touching(box)))
            for n, box in enumerate(boxes(self._store.grid, self._store.side))
        ]
        last = {window.number: block.number for block in every for window in block.windows}
        left = [block for block in every if not self._mark(block).exists()]
        missing = {w.number for block in left for w in block.windows if w.number not in self._files}
        done, total = 0, len(missing) * self._sampler.n_samples
        for block in left:
            for window in block.windows:
                if window.number not in missing:
                    continue
                for _ in self._sample(window):
                    done += 1
                    message = f"block {block.number + 1} of {len(every)}"
                    yield Progress(done, total, message)
                missing.remove(window.number)
            self._store.write(block.box, *self._blend(block))
            self._mark(block).touch()
            for window in block.windows:
                if last[window.number] == block.number:
                    self._files.drop(window.number)

    def _mark(self, block: _Needed) -> Path:
        return self._marks / f"{block.number:08}"

    def _sample(self, window: Window) -> Generator[None, None, None]:
        start = [span.start for span in window.spans]
        cuts = self._inputs.cut(start, self._layout.patch)
        moments, samples = DeviceMoments(), []
        for p in self._sampler.samples(cuts, window.number):
            if self._resampled:
                samples.append(p.cpu().numpy())
            else:
                moments.update(self._layout.to_image(p, window))
            yield
        found = samples[0].shape[0] if samples else len(moments.maps()[0])
        classes = max(2, found)
        if classes != self._store.n_classes:
            raise ValueError(
                f"the model has {classes} classes, the labels have {self._store.n_classes}: use a "
                "model of the same classes"
            )
        self._files.save(window.number, np.stack(samples) if samples else _stacked(moments))

    def _blend(self, block: _Needed) -> tuple[FloatArray, FloatArray, FloatArray]:
        blended = BlendedMaps(shape_of(block.box))
        for window in block.windows:
            shared = common(window.image, block.box)
            assert shared is not None
            part = within(shared, window.image)
            maps = self._part(window, part)
            importance = self._layout.importance(window)[part]
            blended.add(within(shared, block.box), importance, maps[:-2], maps[-2], maps[-1])
        return blended.mean, blended.variance, blended.expected_entropy

    def _part(self, window: Window, part: Box) -> FloatArray:
        values = self._files.load(window.number)
        if not self._resampled:
            return np.array(values[(slice(None), *part)])
        moments = DeviceMoments()
        for sample in values:
            p = torch.from_numpy(np.array(sample))
            moments.update(self._layout.to_image(p, window, part))
        return _stacked(moments)


def _stacked(moments: DeviceMoments) -> FloatArray:
    mean, variance, entropy = moments.maps()
    return np.concatenate([mean, variance[None], entropy[None]])
