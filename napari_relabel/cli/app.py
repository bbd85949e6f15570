"""The verbs, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_relabel.cli import audit, data, demo, model, people, reproduce, review
from napari_relabel.cli import check as checking
from napari_relabel.cli import train as training

app = typer.Typer(
    name="napari-relabel",
    help="Find, review and correct wrong segmentation masks from model uncertainty.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb in (
    demo.demo,
    checking.check,
    data.noise,
    training.train,
    model.estimate,
    review.review,
    review.learn,
    review.decide,
    audit.audit,
    review.export,
    review.replay,
    review.report,
    people.agreement,
    people.adjudicate,
    data.evaluate,
    reproduce.reproduce,
):
    app.command()(verb)


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
