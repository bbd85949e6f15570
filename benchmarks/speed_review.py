"""Rows 7, 9 and 10: from probabilities to a list of proposals."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterable, Iterator

import numpy as np
from scipy import ndimage
from speed_timing import Paired, in_turn

from napari_relabel.core.estimate import Estimate
from napari_relabel.core.regions import Regions, find_regions
from napari_relabel.core.rules import Candidates, RuleOptions, candidates

Floats = np.ndarray

#: How `checked` begins where the two do not give the same: the ratio is no like for like.
OTHER = "not the same result"


def wrong_pixels() -> Paired:
    """Row 7: which pixels are labelled wrong, by confident learning's thresholds."""
    from cleanlab.segmentation.filter import find_label_issues

    p = _smooth((50, 256, 256), 4.0)
    labels = (p + 0.3 * np.random.default_rng(1).normal(size=p.shape) > 0.5).astype(np.uint8)
    both = np.stack([1 - p, p]).astype(np.float32)
    estimate = Estimate("given", 1, 2, mean=both)
    options = RuleOptions("conditional")

    def ours() -> np.ndarray:
        return candidates(labels, estimate, options).mask(0.0)

    def peer() -> np.ndarray:
        found: np.ndarray = find_label_issues(
            labels.astype(int), np.moveaxis(both, 0, 1), n_jobs=1, verbose=False
        )
        return found

    a, b = ours(), peer()
    iou = (a & b).sum() / (a | b).sum()
    return Paired(
        7,
        "wrong pixels of 50 pictures of 256x256",
        "cleanlab find_label_issues, n_jobs=1",
        *in_turn(ours, peer, rounds=3),
        10.0,
        f"{OTHER}: IoU of the two masks {iou:.4f}",
    )


def list_of_proposals() -> Iterator[Paired]:
    """Row 9: the table of proposals at a new delta, in a volume of which 1 % is proposed."""
    shape = (256, 512, 512)
    score = _smooth(shape, 3.0)
    delta = float(np.quantile(score[::4, ::4, ::4], 0.99))
    labels = np.zeros(shape, np.uint8)
    target = np.ones(shape, np.uint8)
    known = Candidates(target, score, 1.0, "score", delta)

    def ours() -> Regions:
        return find_regions(labels, known, delta)

    def at_first() -> Regions:
        return find_regions(labels, Candidates(target, score, 1.0, "score", delta), delta)

    def peer() -> tuple[int, list[tuple[slice, ...]]]:
        parts, n = ndimage.label(score > np.float32(delta), np.ones((3, 3, 3)))
        return n, ndimage.find_objects(parts)

    n, boxes = peer()
    regions = ours()
    same = n == len(regions) and _corners(r.bbox for r in regions) == _corners(boxes)
    if not same:
        raise RuntimeError("the two find other components: nothing was timed")
    first, after, theirs = in_turn(at_first, ours, peer, rounds=5)
    for seconds, when in ((first, "the first delta"), (after, "one not below a delta before")):
        yield Paired(
            9,
            f"{n:,} proposals listed with sizes and scores, 256x512x512, 1 % proposed, {when}",
            "scipy.ndimage.label and find_objects",
            seconds,
            theirs,
            10.0,
            "the same components and boxes",
        )


def segments() -> Paired:
    """Row 10: from a map of uncertainty to a ranked list, as VessQC's own search does it."""
    from vessqc._widget import _label_value_sparse

    # It has everybody log everything, which would slow down what comes after.
    logging.getLogger().setLevel(logging.WARNING)
    shape = (48, 96, 96)
    score = _smooth(shape, 2.0)
    delta = float(np.quantile(score, 0.9))
    labels = np.zeros(shape, np.uint8)
    found = Candidates(np.ones(shape, np.uint8), score, 1.0, "score", delta)
    values = np.unique(np.round(score[score > delta], 3))
    structure = np.ones((3, 3, 3), dtype=int)

    def ours() -> Regions:
        return find_regions(labels, found, delta)

    def peer() -> list[object]:
        with contextlib.redirect_stdout(io.StringIO()):
            return [
                _label_value_sparse(score, value, 1e-3, structure, i, len(values))
                for i, value in enumerate(values)
            ]

    return Paired(
        10,
        f"ranked list from a float map, {'x'.join(map(str, shape))}, a tenth uncertain",
        f"VessQC 1.0.0, its search over {len(values)} values, without its filters",
        *in_turn(ours, peer, rounds=3),
        20.0,
        f"{OTHER}: segments of one value there, connected regions here",
    )


def _corners(boxes: Iterable[tuple[slice, ...]]) -> set[tuple[tuple[int, int], ...]]:
    return {tuple((side.start, side.stop) for side in box) for box in boxes}


def _smooth(shape: tuple[int, ...], sigma: float) -> Floats:
    noise = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    field = ndimage.gaussian_filter(noise, sigma)
    low, high = field.min(), field.max()
    scaled: Floats = ((field - low) / (high - low)).astype(np.float32)
    return scaled
