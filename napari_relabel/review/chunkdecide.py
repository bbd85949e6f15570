"""Accepting the proposals of a case on disk without a person, chunk by chunk."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace

import numpy as np

from napari_relabel.core.arrays import most_probable
from napari_relabel.core.boxes import Box
from napari_relabel.core.rules import RuleOptions
from napari_relabel.io.estimatestore import EstimateStore
from napari_relabel.review.bulk import bulk_note
from napari_relabel.review.chain import read_chain
from napari_relabel.review.changes import whole
from napari_relabel.review.chunks import ChunkedCase
from napari_relabel.review.chunkstate import ChunkedState
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.journal import Context, Entry, JournalWriter
from napari_relabel.review.records import options_to_json


@dataclass(frozen=True)
class Accepted:
    """What was accepted in a case.

    Parameters
    ----------
    voxels, of : int
        Voxels accepted, and voxels of the case.
    wanted, delta : float
        The delta asked for, and the one used.
    agreeing : int
        Accepted voxels whose given label is what the model predicts.
    """

    voxels: int
    of: int
    wanted: float
    delta: float
    agreeing: int


def decide_chunked(
    folder: ReviewFolder,
    case_id: str,
    reviewer: str,
    options: RuleOptions,
    delta: float | None,
    *,
    min_size: int,
    max_fraction: float,
    approve: bool,
    keep_approved: bool,
) -> Accepted | None:
    """Accept everything that a rule proposes in one case, as one action per chunk.

    Parameters
    ----------
    folder : ReviewFolder
        The review.
    case_id : str
        A case whose estimate is in chunks.
    reviewer, options, delta, min_size, max_fraction, approve, keep_approved
        As for `napari_relabel.review.decide.decide`.

    Returns
    -------
    Accepted or None
        None where the case was left alone because it is approved.
    """
    chain = read_chain(folder.journals, reviewer)
    labels = folder.open_labels(case_id)
    folder.check_unchanged(case_id)
    store = EstimateStore.open(folder.estimate_path(case_id))
    state = ChunkedState(labels, store.side, chain.of_case(case_id))
    if keep_approved and state.history.approved:
        return None
    case = ChunkedCase(labels, store, options, state)
    wanted = next(case.blocks()).found.default_delta if delta is None else delta
    regions = case.propose(wanted, min_size=min_size, max_fraction=max_fraction)
    context = Context(
        case_id=case_id,
        base_hash=folder.record(case_id).labels_sha256,
        rule=options.rule,
        options=json.dumps(options_to_json(options)),
        delta=regions.delta,
        uncertainty=options.kind,
        method=store.about["method"],
        model_hash=store.about["model_hash"],
    )
    entries: list[Entry] = []
    voxels = agreeing = above = decided = 0
    note = {**bulk_note(), "automatic": True}
    for block in case.blocks():
        here = state.at(block.box)
        proposed = block.found.mask(regions.delta)
        above += int(np.count_nonzero(proposed))
        decided += here.decided
        if min_size > 1:
            proposed &= regions.components(block) > 0
        change = here.change("accept", whole(proposed.shape), proposed, block.found.target)
        if change is not None:
            assert block.mean is not None
            against = most_probable(block.mean)[proposed] == block.labels[proposed]
            agreeing += int(np.count_nonzero(against))
            voxels += change.voxels
            moved = replace(change, box=_moved(change.box, block.box))
            entries.append(Entry("accept", context, moved, note=note))
    done = decided
    for n, entry in enumerate(entries):
        assert entry.change is not None
        done += entry.change.voxels
        left = above - (done - decided)
        entries[n] = entry._replace(context=replace(context, open_after=left, decided_after=done))
    if approve:
        last = replace(context, open_after=above - voxels, decided_after=done)
        entries.append(Entry("approve", last, note={"automatic": True}))
    journal = JournalWriter(folder.journals, reviewer, chain.heads)
    try:
        if entries:
            # All or none: a process that is killed has decided nothing of the case.
            journal.append_all(entries)
    finally:
        journal.close()
    return Accepted(voxels, math.prod(store.grid), wanted, regions.delta, agreeing)


def _moved(inner: Box, outer: Box) -> Box:
    return tuple(
        slice(a.start + b.start, a.stop + b.start) for a, b in zip(inner, outer, strict=True)
    )
