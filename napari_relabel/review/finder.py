"""Where the files of a review are: the default place of REVIEW folders, and files that moved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from platformdirs import user_data_path

from napari_relabel.io.companions import is_there, volume_files
from napari_relabel.io.hashing import file_sha256
from napari_relabel.review.adding import relative_to
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.records import CaseRecord


def default_review_root() -> Path:
    """Folder for the reviews of layers that belong to no data set, in the user's data folder."""
    return user_data_path("napari-relabel", appauthor=False) / "reviews"


def relocated(root: Path, cases: Iterable[CaseRecord], data: Path) -> Iterator[CaseRecord]:
    """Records of cases whose files moved below another folder.

    Parameters
    ----------
    root : Path
        The REVIEW folder.
    cases : iterable of CaseRecord
        Its cases.
    data : Path
        Where to look for files that are not in their place.

    Yields
    ------
    CaseRecord
        One per case.

    Raises
    ------
    ReviewError
        If a file is found nowhere.
    """
    finder = Finder(data)

    def place(name: str, sha256: str) -> str:
        if is_there(root / name):
            return name
        return relative_to(finder.find(Path(name).name, sha256), root)

    for case in cases:
        labels, image = place(case.labels, case.labels_sha256), case.image
        if image is not None and case.image_sha256 is not None:
            image = place(image, case.image_sha256)
        yield replace(case, labels=labels, image=image)


class Finder:
    """Files below a folder by name and content.

    Parameters
    ----------
    root : Path
        The folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise ReviewError(f"{root} is not a folder: name the one that the files are in now")
        self.root = root
        self._named: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(root.rglob("*")):
            self._named[path.name].append(path)

    def find(self, name: str, sha256: str) -> Path:
        """The file of a name with a SHA-256; ReviewError where there is none."""
        first = name.replace("????", "0000")
        for path in (file.with_name(name) for file in self._named[first]):
            if volume_files(path) and file_sha256(path) == sha256:
                return path
        same = "a file of that name has other content" if self._named[first] else "no such file"
        raise ReviewError(f"{name} was not found below {self.root} ({same}): name another folder")
