"""What verbs there are, and in which module each lies."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import typer
from typer.core import TyperGroup

#: Module and one line of help of every verb; its function has the name of the verb.
VERBS = {
    "demo": ("demo", "Run the main job on generated pictures and a CT"),
    "check": ("check", "List everything that is wrong with a data set"),
    "noise": ("data", "Make noisy copies of clean masks"),
    "train": ("train", "Train a U-Net on given masks, correcting them or not"),
    "estimate": ("model", "Estimate the uncertainty of every case"),
    "review": ("review", "Open a review in napari"),
    "learn": ("review", "Choose the rule that suits the approved cases"),
    "decide": ("review", "Accept proposals without a person, recorded as such"),
    "audit": ("audit", "Audit a random sample of what was accepted in bulk"),
    "export": ("review", "Write corrected masks, verified, with their records"),
    "replay": ("review", "Rebuild the masks from the journal alone"),
    "report": ("review", "Write who changed what, when, why and by how much"),
    "agreement": ("people", "Say how far reviewers agree"),
    "adjudicate": ("people", "Make a review of what reviewers disagree on"),
    "evaluate": ("data", "Compare masks with reference masks"),
    "reproduce": ("reproduce", "Repeat the paper's experiment"),
}


class _Commands(Mapping[str, Any]):
    """Commands by verb, made when they are looked up."""

    def __getitem__(self, verb: str) -> Any:
        if verb not in VERBS:
            raise KeyError(verb)
        return _command(verb)

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


@cache
def _command(verb: str) -> Any:
    module = importlib.import_module(f"napari_relabel.cli.{VERBS[verb][0]}")
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    function = getattr(module, verb)
    alone.command(name=verb, help=_help(function))(function)
    return typer.main.get_command(alone)


def _help(function: Any) -> str:
    r"""The docstring, with its examples on lines of their own; \b keeps a paragraph as it is."""
    text, _, examples = (inspect.getdoc(function) or "").partition("Examples\n--------\n")
    if not examples:
        return text
    lines = "\n".join(f"  {line}" for line in examples.splitlines())
    return f"{text}\b\nExamples:\n{lines}"


class VerbGroup(TyperGroup):
    """A group that imports a verb when it is run: the list of all of them is there at once."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands()  # type: ignore[assignment]

    def list_commands(self, ctx: Any) -> list[str]:
        """All verbs, in the order in which they are used."""
        return list(VERBS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a line per verb without importing it."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, about) for verb, (_, about) in VERBS.items()])
