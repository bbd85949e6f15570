"""Reading the next case before the reviewer gets there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

from napari_relabel.io.volume import ImageVolume
from napari_relabel.review.chain import Action, Chain, read_actions
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.history import restore
from napari_relabel.review.opencase import OpenCase
from napari_relabel.review.resume import Resume


class FileMark(NamedTuple):
    """What tells that a file is still the one that was read; all 0 where there is none."""

    modified_ns: int
    size: int
    inode: int


@dataclass(frozen=True, eq=False)
class CaseRequest:
    """What a case is made of.

    Parameters
    ----------
    folder : ReviewFolder
        Where it is.
    case_id : str
        Which.
    chain : Chain
        The reviewer's actions before this session.
    journal : Path
        File of those of this session.
    acts : int
        How many of those are about this case.
    resume : Resume
        Rule, delta and smallest size.
    defer : bool
        Whether labelling large volumes is left to the caller.
    """

    folder: ReviewFolder
    case_id: str
    chain: Chain
    journal: Path
    acts: int
    resume: Resume
    defer: bool

    def same_rule(self, other: CaseRequest) -> bool:
        """Whether proposals of both follow one rule."""
        return self.resume.options == other.resume.options


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """A case that is ready to be opened.

    Parameters
    ----------
    request : CaseRequest
        What it was made of.
    case : OpenCase
        Decisions and proposals.
    image : ImageVolume or None
        Its image, where that was asked for.
    files : tuple of FileMark
        Its files as they were before they were read.
    """

    request: CaseRequest
    case: OpenCase
    image: ImageVolume | None
    files: tuple[FileMark, ...]

    @property
    def case_id(self) -> str:
        """The case."""
        return self.case.case_id


def prepare_case(request: CaseRequest, *, complete: bool = True) -> PreparedCase:
    """Read a case and find its proposals; may run in any thread.

    Parameters
    ----------
    request : CaseRequest
        From `ReviewSession.request`.
    complete : bool
        Read the image and label the regions of large volumes too.

    Returns
    -------
    PreparedCase
        For `ReviewSession.open_case`.

    Raises
    ------
    ReviewError, JournalError
        If a file has changed or cannot be found, or a journal is damaged.
    """
    folder, case_id = request.folder, request.case_id
    files = marks(folder, case_id)
    data = folder.load(case_id, image=complete)
    state, history = restore(data.labels, actions_on(request), case_id)
    case = OpenCase(case_id, data.labels, data.estimate, state, history, defer=request.defer)
    propose(case, request.resume)
    if complete:
        case.ensure_regions()
        if data.estimate is not None:
            data.estimate.uncertainty(case.options.kind)
    return PreparedCase(request, case, data.image, files)


def propose(case: OpenCase, resume: Resume) -> None:
    """Have a case follow a reviewer's rule, delta and smallest size."""
    options = resume.usable(case.estimate)
    found = case.evaluate(options)
    case.adopt_rule(options, found, resume.delta_for(found), resume.min_size)


def actions_on(request: CaseRequest) -> list[Action]:
    """All actions of the reviewer on the case, in order.

    Those of this session are read back from its own file; what another session of the same
    reviewer does meanwhile is merged when the next one starts.
    """
    return [
        *request.chain.of_case(request.case_id),
        # Other parts of its case share no voxel with it.
        *read_actions(request.journal, request.case_id),
    ]


def marks(folder: ReviewFolder, case_id: str) -> tuple[FileMark, ...]:
    """Marks of the labels, the image and the estimate of a case."""
    return tuple(map(_mark, folder.files(case_id)))


def _mark(path: Path | None) -> FileMark:
    try:
        found = None if path is None else path.stat()
    except FileNotFoundError:
        found = None
    if found is None:
        return FileMark(0, 0, 0)
    return FileMark(found.st_mtime_ns, found.st_size, found.st_ino)


class HasCase(Protocol):
    """What is made ahead: it says of which case it is."""

    @property
    def case_id(self) -> str:
        """The case."""


T = TypeVar("T", bound=HasCase)


class Lookahead(Generic[T]):
    """At most one case beside the open one: which is wanted, and what is ready.

    What was wanted before and comes late is refused, so memory holds two cases and never three.
    """

    def __init__(self) -> None:
        self._wanted: str | None = None
        self._ticket = 0
        self._ready: T | None = None

    @property
    def wanted(self) -> str | None:
        """The case wanted, ready or not."""
        return self._wanted

    @property
    def ready(self) -> T | None:
        """What is ready."""
        return self._ready

    def want(self, case_id: str | None) -> int | None:
        """Want a case next; a ticket where it has to be made, None where it is or will be ready."""
        if case_id == self._wanted:
            return None
        self.drop()
        self._wanted = case_id
        return None if case_id is None else self._ticket

    def deliver(self, ticket: int, made: T) -> bool:
        """Take what was made; False where another case, or a newer state, is wanted by now."""
        if ticket != self._ticket or made.case_id != self._wanted:
            return False
        self._ready = made
        return True

    def take(self, case_id: str) -> T | None:
        """Hand out what is ready where it is this case; either way nothing is held any more."""
        ready = self._ready
        self.drop()
        return ready if ready is not None and ready.case_id == case_id else None

    def drop(self) -> None:
        """Let go of what is ready, and refuse what is under way."""
        self._ticket += 1
        self._wanted = self._ready = None


def neighbour(ids: Sequence[str], case_id: str, step: int) -> str | None:
    """The case that lies `step` cases further in an order; None beyond its ends."""
    if case_id not in ids:
        return None
    at = ids.index(case_id) + step
    return ids[at] if 0 <= at < len(ids) else None
