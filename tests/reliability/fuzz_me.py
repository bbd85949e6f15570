"""Run by test_damaged_files.py: damaged files of every format, with bounded memory and time.

Arguments: a folder to work in, and how many cases per format and reader. Standard output: JSON with
the number of cases per format and what went wrong, empty where nothing did. A reader that takes
more than a minute ends the process. What was read last lies in the file ``last`` of the folder, in
case that a library ends it.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import resource
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from damage import damaged, damages
from fuzzing import fuzz
from hypothesis import strategies as st
from volume_cases import KINDS, Kind

from napari_relabel.io.errors import InputError
from napari_relabel.io.maps import read_map
from napari_relabel.io.volume import read_image, read_labels

#: Address space that a reader may add, bytes, and seconds that it may take.
MEMORY, SECONDS = 1 << 30, 60

LAST = Path(sys.argv[1]) / "last"


def files_of(path: Path) -> list[Path]:
    """Every file of a volume."""
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.is_file())
    return sorted(p for p in path.parent.glob(f"{path.name.split('.')[0]}.*") if p.is_file())


def outcome(path: Path, content: bytes, file: Path, read: Callable[..., object]) -> None:
    """Read a volume of which one file is damaged; only the documented error may come of it."""
    sound = file.read_bytes()
    file.write_bytes(content)
    # The index of a folder of slices is kept as long as the folder does not change.
    os.utime(file.parent, ns=(0, hash(content) & 0xFFFFFFFF))
    LAST.write_bytes(f"{file} by {read.__name__}\n".encode() + content)
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    try:
        read(path)
    except InputError as error:
        assert path.name in str(error) or file.name in str(error), error
    finally:
        faulthandler.cancel_dump_traceback_later()
        file.write_bytes(sound)


def cases_of(kind: Kind, folder: Path, examples: int) -> int:
    """How many damaged files of a format were read or refused."""
    mask = np.zeros((12, 14, 9), np.uint8)
    mask[3:9, 4:11, 2:7] = 1
    image = mask * 80 + np.random.default_rng(0).integers(0, 40, mask.shape)
    flat = kind.order == "yx"
    mask, image = (v[:, :, 4:5] if flat else v for v in (mask, image))
    paths = (
        kind.write_image(folder / "images", "a", image.astype(np.uint8 if flat else np.int16)),
        kind.write_mask(folder / "masks", "a", mask),
    )
    count = 0
    for path, read in ((paths[0], read_image), (paths[1], read_labels), (paths[1], read_map)):
        files = files_of(path)

        def check(which: int, damage, path=path, read=read, files=files) -> None:
            file = files[which % len(files)]
            outcome(path, damaged(file.read_bytes(), damage), file, read)

        count += fuzz(check, st.integers(0, 10**6), damages, examples=examples)
    return count


def main() -> None:
    folder, examples = Path(sys.argv[1]), int(sys.argv[2])
    faulthandler.enable()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    found = {}
    for number, kind in enumerate(KINDS):
        # Libraries keep what they took for other formats.
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
        count, problem = 0, ""
        try:
            count = cases_of(kind, folder / str(number), examples)
        except Exception:  # noqa: BLE001  # whatever it is, it is reported
            problem = traceback.format_exc(limit=-6)
        found[kind.name] = count, problem
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
