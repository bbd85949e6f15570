"""Coverage-guided fuzzing of one reader: run by docs/guided.py, which installs Atheris for it.

Arguments: the name of a target, a folder to work in, and options of libFuzzer; or ``--list``.
Whatever is not the documented error ends the process and is described on standard error.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import atheris

with atheris.instrument_imports(include=["napari_relabel", "nibabel", "tifffile"]):
    import napari_relabel.io.lazy
    import napari_relabel.io.nrrd
    import napari_relabel.models.checkpoint
    import napari_relabel.models.weights  # noqa: F401
    from napari_relabel.core.estimate import Estimate
    from napari_relabel.io.dataset import open_dataset
    from napari_relabel.io.errors import InputError
    from napari_relabel.io.estimates import load_estimate, save_estimate
    from napari_relabel.io.maps import read_map
    from napari_relabel.io.volume import read_image, read_labels
    from napari_relabel.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
    from napari_relabel.models.unet import RelabelUNet, UNetConfig
    from napari_relabel.models.weights import load_weights
    from napari_relabel.review.errors import ReviewError
    from napari_relabel.review.folder import ReviewFolder
    from napari_relabel.review.replay import replay
    from napari_relabel.review.session import ReviewSession

import numpy as np
from fuzz_me import files_of
from review_cases import act_at_random, make_folder
from safetensors.torch import save_file
from test_damaged_tables import CSV, ROWS
from volume_cases import KINDS, Kind


class Target(NamedTuple):
    """What is fuzzed.

    Parameters
    ----------
    seeds : list of bytes
        Sound input.
    once : callable
        Tries any other.
    """

    seeds: list[bytes]
    once: Callable[[bytes], None]


def in_place_of(files: list[Path], use: Callable[[Path], object]) -> Target:
    """Input whose first byte says which file the others replace; `use` reads what it is part of."""
    sound = [file.read_bytes() for file in files]

    def once(data: bytes) -> None:
        which = data[0] % len(files)
        file = files[which]
        file.write_bytes(data[1:])
        # The index of a folder of slices is kept as long as the folder does not change.
        os.utime(file.parent, ns=(0, hash(data) & 0xFFFFFFFF))
        try:
            use(file)
        finally:
            file.write_bytes(sound[which])

    return Target([bytes([number]) + content for number, content in enumerate(sound)], once)


def volume(kind: Kind) -> Callable[[Path], Target]:
    """Image and mask of a format."""

    def make(folder: Path) -> Target:
        mask = np.zeros((6, 7, 5), np.uint8)
        mask[2:5, 2:6, 1:4] = 1
        image = mask * 80 + np.random.default_rng(0).integers(0, 40, mask.shape)
        flat = kind.order == "yx"
        mask, image = (v[:, :, 2:3] if flat else v for v in (mask, image))
        dtype = np.uint8 if flat else np.int16
        path = kind.write_image(folder / "images", "a", image.astype(dtype))
        readers: dict[Path, list[Callable[[], object]]] = {}
        for file in files_of(path):
            readers[file] = [lambda: read_image(path)]
        if kind.masks:
            given = kind.write_mask(folder / "masks", "a", mask)
            for file in files_of(given):
                readers[file] = [lambda: read_labels(given), lambda: read_map(given)]

        def use(file: Path) -> None:
            for read in readers[file]:
                tried(read)

        return in_place_of(list(readers), use)

    return make


def manifest(name: str, content: str) -> Callable[[Path], Target]:
    """A table of cases."""

    def make(folder: Path) -> Target:
        file = folder / name
        file.write_text(content, encoding="utf-8")
        return in_place_of([file], lambda _: tried(lambda: open_dataset(file)))

    return make


def reviewed(folder: Path) -> tuple[Path, Path]:
    """A REVIEW folder and its journal."""
    os.fsync = lambda handle: None
    made = make_folder(folder, cases=2, shape=(6, 7, 4))
    session, rng = ReviewSession(made, reviewer="ana"), np.random.default_rng(1)
    for _ in range(20):
        act_at_random(session, rng)
    session.close()
    (journal,) = made.journals.glob("*.sqlite")
    return made.path, journal


def review(folder: Path) -> Target:
    """Its description and the bytes of its journal."""
    path, journal = reviewed(folder)

    def use(_: Path) -> None:
        tried(lambda: replay(ReviewFolder.open(path)))

    return in_place_of([path / "review.json", journal], use)


def cells(folder: Path) -> Target:
    """A value in a journal: row, column and type, then the value itself."""
    path, journal = reviewed(folder)
    sound = journal.read_bytes()
    with contextlib.closing(sqlite3.connect(journal)) as db:
        columns = [row[1] for row in db.execute("PRAGMA table_info(action)")]
        rows = db.execute("SELECT * FROM action").fetchall()
    seeds = [
        bytes([r, c, isinstance(value, bytes)])
        + (value if isinstance(value, bytes) else str(value).encode())
        for r, row in enumerate(rows)
        for c, value in enumerate(row)
    ]

    def once(data: bytes) -> None:
        row, column, kind, content = data[0], data[1] % len(columns), data[2] % 4, data[3:]
        value: object = content
        if kind != 1:
            text = content.decode("utf-8", "replace")
            try:
                value = (str, str, lambda t: int(t) % 2**63, float)[kind](text)
            except ValueError:
                return
        # What a constraint of the table forbids no writer can have written.
        with (
            contextlib.suppress(sqlite3.IntegrityError),
            contextlib.closing(sqlite3.connect(journal)) as db,
            db,
        ):
            db.execute(
                f"UPDATE action SET {columns[column]} = ? WHERE rowid = ?",
                (value, 1 + row % len(rows)),
            )
        try:
            tried(lambda: replay(ReviewFolder.open(path)))
        finally:
            for left in journal.parent.glob(f"{journal.name}-*"):
                left.unlink()
            journal.write_bytes(sound)

    return Target(list(dict.fromkeys(seeds)), once)


def estimate(folder: Path) -> Target:
    """A stored estimate."""
    p = np.random.default_rng(0).random((4, 5, 3), np.float32)
    file = folder / "a.npz"
    mean = np.stack([1 - p, p])
    save_estimate(file, Estimate("mcdo", 5, 2, mean=mean, variance=p / 9, model_hash="0"))
    return in_place_of([file], lambda _: tried(lambda: load_estimate(file)))


def network(folder: Path) -> Target:
    """A checkpoint of ours and weights of others."""
    net = RelabelUNet(UNetConfig(features=2)).eval()
    ours, weights = folder / "model.pt", folder / "weights.safetensors"
    save_checkpoint(ours, Checkpoint(config=net.config), net)
    save_file({"bias": net.state_dict()["final_conv.bias"]}, weights)

    def use(file: Path) -> None:
        tried(lambda: load_checkpoint(ours) if file == ours else load_weights(weights))

    return in_place_of([weights, ours], use)


def tried(work: Callable[[], object]) -> None:
    """Do it, or be refused."""
    try:
        work()
    except (InputError, ReviewError) as error:
        assert str(error).strip(), "an error without a message"


TARGETS: dict[str, Callable[[Path], Target]] = {
    **{kind.name: volume(kind) for kind in KINDS},
    "manifest, CSV": manifest("data.csv", CSV),
    "manifest, JSON": manifest("data.json", json.dumps(ROWS)),
    "review and journal": review,
    "values of a journal": cells,
    "estimate": estimate,
    "checkpoint and weights": network,
}


def main() -> None:
    if sys.argv[1] == "--list":
        sys.stdout.write("\n".join(TARGETS))
        return
    name, work, *options = sys.argv[1:]
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    place = Path(work) / "files"
    place.mkdir(parents=True)
    target = TARGETS[name](place)
    corpus = Path(work) / "corpus"
    corpus.mkdir()
    for number, content in enumerate(target.seeds):
        (corpus / f"sound{number}").write_bytes(content)
    longest = 2 * max(map(len, target.seeds))

    def once(data: bytes) -> None:
        if len(data) > 2:
            target.once(data)

    atheris.Setup(
        [sys.argv[0], str(corpus), f"-max_len={longest}", "-len_control=0", *options], once
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
