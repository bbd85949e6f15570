"""What all verbs share: errors in one line, progress bars, JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

from napari_relabel.batch.options import Cluster
from napari_relabel.core.progress import Step, finish

P = ParamSpec("P")
T = TypeVar("T")

#: What may be missing, and the extra that brings it.
_EXTRAS = {
    "torch": "model",
    "monai": "model",
    "safetensors": "model",
    "matplotlib": "model,reproduce",
    "filelock": "model,reproduce",
    "dask": "cluster",
    "distributed": "cluster",
}

ReviewArgument = Annotated[Path, typer.Argument(help="A REVIEW folder.", metavar="REVIEW")]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Dask workers to start here: processes of one thread each."),
]
Scheduler = Annotated[
    str | None,
    typer.Option(help="Address of a Dask scheduler that runs already (docs/scaling.md)."),
]
Device = Annotated[
    str,
    typer.Option(
        help="Where networks compute: auto (a GPU of NVIDIA where there is one), cpu, cuda, cuda:1."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for machines.")]


class RuleChoice(StrEnum):
    """The relabelling rules."""

    uncertainty = "uncertainty"
    gated = "gated"
    confident = "confident"
    conditional = "conditional"


class KindChoice(StrEnum):
    """The kinds of uncertainty."""

    total = "total"
    aleatoric = "aleatoric"
    epistemic = "epistemic"
    predictive_entropy = "predictive_entropy"
    expected_entropy = "expected_entropy"
    mutual_information = "mutual_information"


def plain_errors(verb: Callable[P, None]) -> Callable[P, None]:
    """Turn an expected error into one line on stderr and exit code 1."""

    @wraps(verb)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            verb(*args, **kwargs)
        except typer.Exit:  # a RuntimeError too, but no error to report
            raise
        except ModuleNotFoundError as error:
            if error.name not in _EXTRAS:
                raise
            fail(
                f"this needs {error.name}, which is not installed: "
                f'pip install "napari-relabel[{_EXTRAS[error.name]}]"'
            )
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            fail(str(error) or type(error).__name__)
        except KeyboardInterrupt:
            typer.echo("Stopped. Run the same command again to go on where it stopped.", err=True)
            raise typer.Exit(130) from None

    return wrapped


def fail(message: str) -> None:
    """Say what is wrong and leave with exit code 1."""
    typer.echo(f"Error: {message}", err=True)
    raise typer.Exit(1)


def cluster_of(workers: int | None, scheduler: str | None) -> Cluster | None:
    """Who does the work; None for this process."""
    if workers is None and scheduler is None:
        return None
    if workers is not None and scheduler is not None:
        fail("give --workers to start some, or --scheduler to use those that run; not both")
    return Cluster(workers, scheduler)


def emit(result: dict[str, Any], lines: list[str], *, as_json: bool) -> None:
    """Print a result for a person, or for a machine."""
    if as_json:
        typer.echo(json.dumps(result, indent=2, default=str))
    else:
        typer.echo("\n".join(lines))


def follow(steps: Generator[Step, None, T], title: str) -> T:
    """Run long work to its end behind a progress bar on stderr (none without a terminal)."""
    from tqdm import tqdm

    with tqdm(desc=title, disable=not sys.stderr.isatty(), leave=False) as bar:

        def see(step: Step) -> None:
            bar.total = step.total
            bar.n = step.done
            bar.set_postfix_str(step.message, refresh=True)

        return finish(steps, see)
