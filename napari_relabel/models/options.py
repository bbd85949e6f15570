"""How to sample, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Precision = Literal["float32", "auto"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

SamplingMethod = Literal["mcdo", "ensemble", "tta"]


@dataclass(frozen=True)
class EstimateOptions:
    """How to sample; ``iter_estimate(image, model, **asdict(options))`` takes them.

    Parameters
    ----------
    method : {"mcdo", "ensemble", "tta"}
        Monte Carlo dropout, deep ensemble or test-time augmentation.
    n_samples : int
        N, at least 2. An ensemble has one sample per network; test-time augmentation at most 72
        (2D) or 144 (3D).
    seed : int
        Not negative. The same seed gives the same estimate.
    patch : tuple of int, optional
        Size of the sliding window on the working grid; by default that of the model.
    precision : {"float32", "auto"}
        ``"auto"``: networks compute in bfloat16 where the device multiplies it in hardware and
        it agrees with float32 on a part of this very image; about twice as fast.
    device : str
        ``"auto"`` (a GPU of NVIDIA where there is one, else the processor), ``"cpu"``, ``"cuda"``
        or ``"cuda:N"``. On a GPU a seed draws other masks than on the processor.

    Raises
    ------
    ValueError
        If a value is out of its range.
    """

    method: SamplingMethod = "mcdo"
    n_samples: int = 20
    seed: int = 0
    patch: tuple[int, ...] | None = None
    precision: Precision = "float32"
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.method not in get_args(SamplingMethod):
            raise ValueError(
                f"unknown method {self.method!r}: choose from {', '.join(get_args(SamplingMethod))}"
            )
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"unknown precision {self.precision!r}: choose from {', '.join(PRECISIONS)}"
            )
        if self.n_samples < 2:
            raise ValueError(f"a spread needs at least 2 samples, not {self.n_samples}")
        if self.seed < 0:
            raise ValueError(f"a seed must not be negative, not {self.seed}")
