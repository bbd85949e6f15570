"""Accepting the proposals of a case on disk without a person, chunk by chunk."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_relabel.core.arrays import most_probable
from napari_relabel.core.boxes import Box, common, moved, within
from napari_relabel.core.rules import RuleOptions
from napari_relabel.io.estimatestore import EstimateStore
from napari_relabel.review.bulk import bulk_note
from napari_relabel.review.chain import read_chain
from napari_relabel.review.changes import Change, whole
from napari_relabel.review.chunks import ChunkedCase
from napari_relabel.review.chunkstate import ChunkedState
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.journal import Context, Entry, JournalWriter
from napari_relabel.review.parts import place_of
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
    agreeing : int or None
        Accepted voxels whose given label is what the model predicts; None where that is not known.
    """

    voxels: int
    of: int
    wanted: float
    delta: float
    agreeing: int | None


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
    actions, parts = chain.of_case(case_id), folder.parts(case_id)
    state = ChunkedState(labels, store.side, actions, case_id, parts)
    if keep_approved and state.history.approved:
        return None
    kept = state.approved_parts if keep_approved else ()
    case = ChunkedCase(labels, store, options, state, kept)
    wanted = next(case.blocks()).found.default_delta if delta is None else delta
    regions = case.propose(wanted, min_size=min_size, max_fraction=max_fraction)
    about = Context(
        case_id=case_id,
        base_hash=folder.record(case_id).labels_sha256,
        rule=options.rule,
        options=json.dumps(options_to_json(options)),
        delta=regions.delta,
        uncertainty=options.kind,
        method=store.about["method"],
        model_hash=store.about["model_hash"],
    )
    tallies = [_Tally(part) for part in parts or (case_id,) if part not in kept]
    voxels = 0
    agreeing: int | None = None
    note = {**bulk_note(), "automatic": True}
    for block in case.blocks():
        tally = next((t for t in tallies if t.holds(block.box)), None)
        if tally is None:
            continue
        here = state.at(block.box)
        proposed = block.found.mask(regions.delta)
        tally.open += int(np.count_nonzero(proposed))
        tally.decided += here.decided
        if min_size > 1:
            proposed &= regions.components(block) > 0
        change = here.change("accept", whole(proposed.shape), proposed, block.found.target)
        if change is not None:
            if block.mean is not None:
                against = most_probable(block.mean)[proposed] == block.labels[proposed]
                agreeing = (agreeing or 0) + int(np.count_nonzero(against))
            voxels += change.voxels
            tally.changes.append(replace(change, box=tally.place(change.box, block.box)))
    entries: list[Entry] = []
    for tally in tallies:
        entries += tally.entries(about, note, approve=approve)
    journal = JournalWriter(folder.journals, reviewer, chain.heads)
    try:
        if entries:
            # All or none: a process that is killed has decided nothing of the case.
            journal.append_all(entries)
    finally:
        journal.close()
    return Accepted(voxels, math.prod(store.grid), wanted, regions.delta, agreeing)


class _Tally:
    """What is decided of a part of a case, or of all of it, with the counts that it leaves."""

    def __init__(self, case_id: str) -> None:
        self._case_id = case_id
        self._box = place_of(case_id).box
        self.changes: list[Change] = []
        self.open = self.decided = 0

    def holds(self, block: Box) -> bool:
        return self._box is None or common(self._box, block) == block

    def place(self, inner: Box, block: Box) -> Box:
        """A box within a block on the grid of the part."""
        outer = block if self._box is None else within(block, self._box)
        return moved(inner, outer)

    def entries(self, about: Context, note: Mapping[str, Any], *, approve: bool) -> Iterator[Entry]:
        context = replace(about, case_id=self._case_id)
        left, done = self.open, self.decided
        for change in self.changes:
            left, done = left - change.voxels, done + change.voxels
            now = replace(context, open_after=left, decided_after=done)
            yield Entry("accept", now, change, note=note)
        if approve:
            last = replace(context, open_after=left, decided_after=done)
            yield Entry("approve", last, note={"automatic": True})
