"""Tables of a page that scripts write, between two comments."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Marked(NamedTuple):
    """What lies between two comments of a page.

    Parameters
    ----------
    page : Path
        A page in Markdown.
    begin, end : str
        The comments; they stay.
    """

    page: Path
    begin: str
    end: str

    def lines(self) -> list[str]:
        """The lines that are there now."""
        return self._parts()[1].splitlines()

    def write(self, text: str) -> None:
        """Put other text in their place."""
        before, _, after = self._parts()
        self.page.write_text(f"{before}{self.begin}\n{text}\n{self.end}{after}", encoding="utf-8")

    def _parts(self) -> tuple[str, str, str]:
        before, _, rest = self.page.read_text(encoding="utf-8").partition(self.begin)
        inside, _, after = rest.partition(self.end)
        return before, inside, after
