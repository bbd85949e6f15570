"""Cases that are estimated in chunks because they would not fit into memory."""

from __future__ import annotations

import math
import shutil
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_relabel.core.progress import relay
from napari_relabel.review.folder import ReviewFolder

if TYPE_CHECKING:
    from napari_relabel.models.api import ModelLike
    from napari_relabel.models.options import EstimateOptions

GIB = 1 << 30
#: What an estimate may take by default, in bytes.
MEMORY = 2 * GIB
#: Of that, for the interpreter, its libraries and the network.
BASE = GIB * 3 // 4


@dataclass(frozen=True)
class ChunkedEstimates:
    """Estimates of large cases.

    Parameters
    ----------
    models : sequence
        As for `napari_relabel.models.api.estimate`.
    options : EstimateOptions
        How to sample.
    memory : int
        Bytes to get by with.
    """

    models: Sequence[ModelLike]
    options: EstimateOptions
    memory: int = MEMORY

    def wanted(self, folder: ReviewFolder, case_id: str) -> bool:
        """Whether a case takes more memory than there is, and is in files that allow less."""
        if not folder.is_lazy(case_id):
            return False
        image = folder.open_image(case_id)
        assert image is not None
        # The image as stored and as the network sees it, with one temporary of each; then the
        # blended maps, and what is derived from them to sort the cases.
        stored_bytes: int = image.stored.dtype.itemsize
        each = image.channels * (stored_bytes + 9) + 4 * len(folder.values) + 32
        return math.prod(image.grid) * each > self.memory - BASE

    def steps(self, folder: ReviewFolder, case_id: str) -> Generator[str, None, None]:
        """Estimate one case into its REVIEW folder; yields how far that is."""
        from napari_relabel.models.blocks import iter_estimate_blocks

        image = folder.open_image(case_id)
        assert image is not None
        unfinished = folder.unfinished(case_id)
        steps = iter_estimate_blocks(
            image,
            self.models if len(self.models) > 1 else self.models[0],
            self.options,
            unfinished,
            n_classes=len(folder.values),
            memory=self.memory,
            case_id=case_id,
        )
        store = yield from relay(steps, lambda step: f"{step.done}/{step.total} {step.message}")
        yield "adding up"
        folder.adopt_estimate(case_id, store)
        shutil.rmtree(unfinished)
