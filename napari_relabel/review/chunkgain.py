"""What sorts the cases of a review, of a case that is read box by box."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from napari_relabel.core.arrays import FloatArray
from napari_relabel.core.boxes import Box, boxes
from napari_relabel.core.selection import order_statistics
from napari_relabel.io.estimatestore import EstimateStore
from napari_relabel.io.lazy import LazyLabels
from napari_relabel.review.queue import TOP_SHARE, Gain


def chunked_gain(labels: LazyLabels, store: EstimateStore) -> Gain:
    """`napari_relabel.review.queue.gain` of a case on disk.

    Parameters
    ----------
    labels : LazyLabels
        Given labels.
    store : EstimateStore
        Of the same grid.

    Returns
    -------
    Gain
    """
    size = math.prod(store.grid)
    right = total = 0.0
    maximum = 0.0
    for box in _boxes(store):
        estimate, given = store.read(box), labels.indices(box)
        u = estimate.uncertainty("total")
        total += float(u.sum(dtype=np.float64))
        maximum = max(maximum, float(u.max()))
        for k, p in enumerate(estimate.mean if estimate.mean is not None else ()):
            right += float(p[given == k].sum(dtype=np.float64))
    count = max(1, round(TOP_SHARE * size))

    def uncertainties() -> Iterator[FloatArray]:
        return (store.read(box).uncertainty("total") for box in _boxes(store))

    least = order_statistics(uncertainties, [size - count])[0]
    above, above_sum = 0, 0.0
    for u in uncertainties():
        higher = u[u > least]
        above += higher.size
        above_sum += float(higher.sum(dtype=np.float64))
    return Gain(
        expected_wrong=size - right if "mean" in store.maps else None,
        mean=total / size,
        top=(above_sum + (count - above) * float(least)) / count,
        maximum=maximum,
    )


def _boxes(store: EstimateStore) -> Iterator[Box]:
    return boxes(store.grid, store.side)
