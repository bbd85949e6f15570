"""The verbs, put together; each is imported when it is asked for."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_relabel.cli.verbs import VerbGroup

app = typer.Typer(
    name="napari-relabel",
    cls=VerbGroup,
    help="Find, review and correct wrong segmentation masks from model uncertainty.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        from napari_relabel import __version__

        typer.echo(f"napari-relabel {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command line."""
    app()
