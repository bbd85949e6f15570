"""What ``review.json`` of a REVIEW folder says, and where things are relative to it."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

from napari_relabel._version import __version__
from napari_relabel.core.rules import RuleOptions
from napari_relabel.io.atomic import write_json
from napari_relabel.io.companions import in_channels, is_there
from napari_relabel.review.adding import Described, records_of, relative_to
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.finder import relocated
from napari_relabel.review.parts import place_of
from napari_relabel.review.records import (
    CaseRecord,
    LearntRule,
    NewCase,
    case_from_json,
    learnt_rule_from_json,
    learnt_rule_to_json,
    options_from_json,
    options_to_json,
    values_from_json,
)

SCHEMA_VERSION = 1
FILE_NAME = "review.json"


def is_review(path: Path) -> bool:
    """Whether a folder is a REVIEW folder."""
    return (path / FILE_NAME).exists()


#: The rule that a review opens with: whole disagreements, the surest first. ``"gated"`` at the
#: poster's delta leaves out every voxel of which the model is sure, so that its proposals are rims.
OPENING_RULE = RuleOptions(rule="confident")


class ReviewIndex:
    """The part of a `ReviewFolder` that reads no volume; see there."""

    def __init__(
        self,
        path: Path,
        cases: tuple[CaseRecord, ...],
        values: tuple[int, ...],
        class_names: dict[int, str],
        options: RuleOptions,
        learnt: LearntRule | None = None,
        former: tuple[str, ...] = (),
    ) -> None:
        self.path = path
        self.cases = cases
        self.values = values
        self.class_names = class_names
        self.options = options
        self.learnt = learnt
        self.former = former
        self._indexed: tuple[CaseRecord, ...] = ()
        self._records: dict[str, CaseRecord] = {}

    @classmethod
    def create(
        cls,
        path: Path | str,
        cases: Sequence[NewCase | Described] = (),
        *,
        values: Sequence[int] | None = None,
        class_names: dict[int, str] | None = None,
        options: RuleOptions | None = None,
    ) -> Self:
        """Make a REVIEW folder.

        Parameters
        ----------
        path : Path or str
            A folder that is empty or does not exist.
        cases : sequence of NewCase or Described
            What to review, read or not; more can be added later.
        values : sequence of int, optional
            All label values, background first; default: those found in the files of all cases.
        class_names : dict of int to str, optional
            Name per label value.
        options : RuleOptions, optional
            The rule that a new reviewer starts with; default: `OPENING_RULE`.

        Returns
        -------
        ReviewFolder

        Raises
        ------
        ReviewError
            If the folder is in use, or two cases have one id.
        InputError
            If a file cannot be read.
        """
        path = Path(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ReviewError(f"{path} exists and is not empty: open it, or name a new folder")
        folder = cls(path, (), tuple(values or ()), class_names or {}, options or OPENING_RULE)
        folder.add(cases)
        return folder

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open a REVIEW folder; ReviewError where it is none, or of a newer version."""
        path = Path(path)
        file = path / FILE_NAME
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            schema = content["schema"]
            if schema > SCHEMA_VERSION:
                raise ReviewError(
                    f"{file} was written by a newer version of napari-relabel (version {schema}, "
                    f"this one reads {SCHEMA_VERSION}): update napari-relabel"
                )
            return cls(
                path,
                tuple(map(case_from_json, content["cases"])),
                values_from_json(content["values"], empty=not content["cases"]),
                {int(value): str(name) for value, name in content["class_names"].items()},
                options_from_json(content["options"]),
                learnt_rule_from_json(content["learnt"]) if content.get("learnt") else None,
                tuple(map(str, content.get("former", ()))),
            )
        except OSError as error:
            raise ReviewError(f"{path} is not a REVIEW folder ({error}): make one first") from error
        except ReviewError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ReviewError(f"{file} is damaged ({error}): put back a copy of it") from error

    @property
    def journals(self) -> Path:
        """Where the journals are."""
        return self.path / "journals"

    @property
    def exports(self) -> Path:
        """Where exported masks go by default."""
        return self.path / "exports"

    @property
    def audits(self) -> Path:
        """Where the audits of decisions made in bulk are."""
        return self.path / "audits"

    def record(self, case_id: str) -> CaseRecord:
        """The record of a case, or of a part of one; ReviewError where there is none."""
        if self._indexed is not self.cases:
            self._records, self._indexed = {case.id: case for case in self.cases}, self.cases
        if case_id in self._records:
            return self._records[case_id]
        whole = place_of(case_id).case_id
        if whole not in self._records:
            raise ReviewError(f"{self.path} has no case {case_id!r}")
        return replace(self._records[whole], id=case_id)

    def add(self, cases: Iterable[NewCase | Described], note: str = "") -> None:
        """Add cases from files, with a note for their records; all or, after an error, none."""
        added, values = records_of(self.path, cases, self.values, note)
        odd = next((case.id for case in added if place_of(case.id).box is not None), None)
        if odd is not None:
            raise ReviewError(f"{odd!r} looks like a part of a case: give the case another id")
        # File systems that ignore case would give "A" and "a" one file.
        ids = Counter(case.id.casefold() for case in (*self.cases, *added))
        twice = next((i for i, n in ids.items() if n > 1), None)
        if twice is not None:
            raise ReviewError(f"two cases have the id {twice!r}: give each its own")
        self._save((*self.cases, *added), values)

    def only(self, case_id: str) -> Self:
        """The folder as if it had one case: all that a process needs that works on that case."""
        alone = (self.record(case_id),)
        return type(self)(self.path.absolute(), alone, self.values, {}, self.options)

    def relocate(self, data: Path | str) -> int:
        """Find the files of the cases again after they, or this folder, were moved.

        Parameters
        ----------
        data : Path or str
            A folder that holds the files somewhere below it, each under its old name.

        Returns
        -------
        int
            Files found anew. Those still in their place stay as they are.

        Raises
        ------
        ReviewError
            If a file is missing and none of its name below `data` has its content; nothing
            changes, then.
        """
        cases = tuple(relocated(self.path, self.cases, Path(data)))
        count = sum(
            (new.labels != old.labels) + (new.image != old.image)
            for new, old in zip(cases, self.cases, strict=True)
        )
        self._save(cases, self.values)
        return count

    def set_learnt(self, rule: LearntRule) -> None:
        """Make what was learnt the rule of the review."""
        # Cases may have been added to the file since this was opened.
        now = type(self).open(self.path)
        self.learnt = rule
        self._save(now.cases, now.values)

    def relative(self, file: Path) -> str:
        """A path as the folder notes it: relative to itself where both are on one drive."""
        return relative_to(file, self.path)

    def noted(self, name: str, moves: int | None) -> Path:
        """The file that a relative path was noted for.

        Parameters
        ----------
        name : str
            Relative to where the folder was then.
        moves : int, optional
            How many former places it had then; None where that was not noted.
        """
        places = [Path(os.path.normpath(self.path / at / name)) for at in ("", *self.former)]
        if places[0].is_relative_to(self.path):
            return places[0]  # It moved along.
        if moves is not None and moves <= len(self.former):
            return places[len(self.former) - moves]
        return next((place for place in places if is_there(place)), places[0])

    def _found(self, name: str) -> Path:
        path = Path(os.path.normpath(self.path / name))
        if not path.is_file() and not path.is_dir() and not (in_channels(path) and is_there(path)):
            raise ReviewError(
                f"{path}, a file of the review in {self.path}, is not there: put it back, or say "
                "where the files are now with relocate"
            )
        return path

    def _save(self, cases: tuple[CaseRecord, ...], values: tuple[int, ...]) -> None:
        content: dict[str, Any] = {
            "schema": SCHEMA_VERSION,
            "version": __version__,
            "values": list(values),
            "class_names": {str(value): name for value, name in self.class_names.items()},
            "options": options_to_json(self.options),
            "learnt": None if self.learnt is None else learnt_rule_to_json(self.learnt),
            "former": list(self.former),
            "cases": [asdict(case) for case in cases],
        }
        write_json(self.path / FILE_NAME, content)
        self.cases, self.values = cases, values
