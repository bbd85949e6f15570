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

Mask = np.ndarray
Ids = np.ndarray


def wrong_pixels() -> Iterator[Paired]:
    """Row 7: which pixels are labelled wrong, by cleanlab's rule put together from ours.

    As many pixels as exceed confident learning's thresholds, namely those whose given class is the
    least probable, as far as another class is more probable.
    """
    from cleanlab.segmentation.filter import find_label_issues

    p = _smooth((50, 256, 256), 4.0)
    labels = (p + 0.3 * np.random.default_rng(1).normal(size=p.shape) > 0.5).astype(np.uint8)
    both = np.stack([1 - p, p]).astype(np.float32)
    estimate = Estimate("given", 1, 2, mean=both)

    def ours() -> Mask:
        above = candidates(labels, estimate, RuleOptions("conditional"))
        found = candidates(labels, estimate, RuleOptions("confident", max_epistemic=1.0))
        n = np.count_nonzero((above.score > 0) & (found.score > 0))
        scores = found.score[found.score > 0]
        least = np.partition(scores, scores.size - n)[scores.size - n]
        return found.mask(float(np.nextafter(least, np.float32(0))))

    def peer(n_jobs: int | None) -> Mask:
        found: Mask = find_label_issues(
            labels.astype(int), np.moveaxis(both, 0, 1), n_jobs=n_jobs, verbose=False
        )
        return found

    a, b = ours(), peer(1)
    iou = (a & b).sum() / (a | b).sum()
    if iou < 0.999:
        raise RuntimeError(f"the two masks have an IoU of {iou}: nothing was timed")
    for n_jobs, name in ((1, "n_jobs=1"), (None, "default n_jobs")):
        yield Paired(
            7,
            f"the {int(a.sum()):,} wrong pixels of 50 pictures of 256x256",
            f"cleanlab find_label_issues, {name}",
            *in_turn(ours, lambda n_jobs=n_jobs: peer(n_jobs), rounds=5),
            10.0,
            f"IoU of the two masks {iou:.4f}",
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
    first, after, theirs = in_turn(at_first, ours, peer, rounds=15)
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
    """Row 10: from a map of uncertainty to a ranked list, as VessQC's own search does it.

    Its segments have one uncertainty each, so the map does too: that of each connected region.
    """
    from vessqc._widget import _label_value_sparse

    # It has everybody log everything, which would slow down what comes after.
    logging.getLogger().setLevel(logging.WARNING)
    shape = (48, 96, 96)
    structure = np.ones((3, 3, 3), dtype=int)
    smooth = _smooth(shape, 2.0)
    apart, n = ndimage.label(smooth > np.quantile(smooth, 0.9), structure)
    highest = ndimage.maximum(smooth, apart, np.arange(n + 1))
    score = np.where(apart > 0, np.round(highest, 2)[apart], 0).astype(np.float32)
    labels = np.zeros(shape, np.uint8)
    target = np.ones(shape, np.uint8)

    def ours() -> Regions:
        # Anew, so that nothing is known of earlier rounds.
        return find_regions(labels, Candidates(target, score, 1.0, "score", 0.0), 0.0)

    def peer() -> Ids:
        values = np.unique(score[score > 0])
        found = np.zeros(shape, int)
        with contextlib.redirect_stdout(io.StringIO()):
            for i, value in enumerate(values):
                one = _label_value_sparse(score, value, 1e-3, structure, i, len(values))
                found[one["indices"]] = one["global_labels"]
        return found

    regions, theirs = ours(), peer()
    pairs = set(zip(regions.components.ravel().tolist(), theirs.ravel().tolist(), strict=True))
    if not len(pairs) == len(regions) + 1 == len(np.unique(theirs)):
        raise RuntimeError("the two find other segments: nothing was timed")
    n_values = len(np.unique(score)) - 1
    return Paired(
        10,
        f"ranked list of {len(regions)} segments from a float map, {'x'.join(map(str, shape))}, a "
        f"tenth uncertain, {n_values} values",
        "VessQC 1.0.0, its search, without its filters",
        *in_turn(ours, peer, rounds=15),
        20.0,
        "the same segments",
    )


def _corners(boxes: Iterable[tuple[slice, ...]]) -> set[tuple[tuple[int, int], ...]]:
    return {tuple((side.start, side.stop) for side in box) for box in boxes}


def _smooth(shape: tuple[int, ...], sigma: float) -> Floats:
    noise = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    field = ndimage.gaussian_filter(noise, sigma)
    low, high = field.min(), field.max()
    scaled: Floats = ((field - low) / (high - low)).astype(np.float32)
    return scaled
