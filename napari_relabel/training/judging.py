"""What networks in training think of the cases that they are trained on."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_relabel.core.arrays import FloatArray, LabelArray, half_trace, most_probable
from napari_relabel.core.estimate import Estimate
from napari_relabel.core.moments import Moments
from napari_relabel.models.augment import augmentations, plane_of_rotation
from napari_relabel.models.convolutions import channels_last, quick_convolutions
from napari_relabel.models.device import device_of
from napari_relabel.models.fast import FastUNet
from napari_relabel.models.fused import fused
from napari_relabel.models.options import SamplingMethod
from napari_relabel.models.tiling import BlendedMaps, Layout
from napari_relabel.models.unet import RelabelUNet
from napari_relabel.training.cases import TrainingCase
from napari_relabel.training.options import TrainOptions

#: Mean difference of probabilities up to which bfloat16 counts as good as float32. A network
#: trained on the skin lesions of the experiment differs by 0.0002.
_BFLOAT16_ERROR = 0.01

#: Weight of the epochs before in averaged opinions.
MEMORY = 0.5

#: Pictures per batch: enough to keep a processor busy, few enough for its cache.
BATCH = 16


@dataclass(frozen=True, eq=False)
class Opinion:
    """Mean prediction and spread for one case on the working grid, in half precision.

    Parameters
    ----------
    mean : ndarray, shape (K, *working grid) or (1, *working grid) for two classes, float16
        p_mean; with one channel that of the foreground.
    variance : ndarray, shape working grid, float16
        Epistemic uncertainty, half the trace.
    method : {"mcdo", "ensemble", "tta"}
        Sampler.
    n_samples : int
        Number of samples.
    """

    mean: npt.NDArray[np.float16]
    variance: npt.NDArray[np.float16]
    method: SamplingMethod
    n_samples: int

    @cached_property
    def probabilities(self) -> FloatArray:
        """p_mean of every class, shape (K, *working grid), float32."""
        mean = self.mean.astype(np.float32)
        return np.concatenate([1 - mean, mean]) if len(mean) == 1 else mean

    @property
    def prediction(self) -> LabelArray:
        """Most probable class of every voxel, shape working grid, uint8."""
        return most_probable(self.probabilities)

    @property
    def total(self) -> float:
        """Total uncertainty, mean over the voxels."""
        return float(half_trace(self.probabilities).mean(dtype=np.float64))

    def estimate(self) -> Estimate:
        """As an `Estimate`, without entropies."""
        p = self.probabilities
        return Estimate(
            method=self.method,
            n_samples=self.n_samples,
            n_classes=len(p),
            # Half precision leaves sums that are off by a thousandth.
            mean=p / p.sum(axis=0),
            variance=self.variance.astype(np.float32),
        )


def averaged(
    opinions: tuple[Opinion, ...], before: Sequence[npt.NDArray[np.float16]] | None
) -> tuple[Opinion, ...]:
    """Opinions whose means are averaged with those of the epochs before.

    A network overshoots right after its labels grew, and labels made from that alone swing from
    epoch to epoch; averages over epochs are steadier (temporal ensembling, Laine and Aila, ICLR
    2017).

    Parameters
    ----------
    opinions : tuple of Opinion
        Of this epoch.
    before : sequence of ndarray, float16, optional
        Averaged means of the same cases after the epoch before; they count with `MEMORY`.

    Returns
    -------
    tuple of Opinion
    """
    if before is None:
        return opinions
    return tuple(
        replace(o, mean=(MEMORY * m + (1 - MEMORY) * o.mean.astype(np.float32)).astype(np.float16))
        for o, m in zip(opinions, before, strict=True)
    )


def judge(
    networks: Sequence[RelabelUNet],
    cases: Sequence[TrainingCase],
    options: TrainOptions,
    method: SamplingMethod,
    n_samples: int,
    *seeds: int,
) -> Generator[int, None, tuple[Opinion, ...]]:
    """Estimate the uncertainty of cases in memory.

    Parameters
    ----------
    networks : sequence of RelabelUNet
        One, or the members of an ensemble. Left as they are.
    cases : sequence of TrainingCase
        To be judged, as they are: no augmentation but that of the sampler.
    options : TrainOptions
        Normalisation, windows and precision. Where it says bfloat16, the first pictures or the
        first volume are judged in float32 too, and where the two disagree, all are.
    method : {"mcdo", "ensemble", "tta"}
        Sampler.
    n_samples : int
        Samples per case; an ensemble has as many as members.
    *seeds : int
        Of the sampler.

    Yields
    ------
    int
        Cases done.

    Returns
    -------
    tuple of Opinion
        One per case, on the working grid.
    """
    sampler = _Sampler(networks, options, method, n_samples, seeds)
    found: list[Opinion] = []
    for batch in _batches(cases, options):
        x = torch.stack([torch.from_numpy(options.normalisation(case.image)) for case in batch])
        judge_batch = sampler.pictures if options.working.patch is None else sampler.volume
        opinions = judge_batch(x, len(found))
        if not found and sampler.bfloat16:
            sampler.bfloat16 = False
            exact = judge_batch(x, 0)
            sampler.bfloat16 = _difference(opinions, exact) <= _BFLOAT16_ERROR
            opinions = opinions if sampler.bfloat16 else exact
        found += opinions
        yield len(found)
    return tuple(found)


def _batches(
    cases: Sequence[TrainingCase], options: TrainOptions
) -> Iterator[Sequence[TrainingCase]]:
    # Pictures share one working size, volumes don't.
    size = BATCH if options.working.patch is None else 1
    for start in range(0, len(cases), size):
        yield cases[start : start + size]


class _Sampler:
    def __init__(
        self,
        networks: Sequence[RelabelUNet],
        options: TrainOptions,
        method: SamplingMethod,
        n_samples: int,
        seeds: Sequence[int],
    ) -> None:
        self.method = method
        self.bfloat16 = options.bfloat16
        self._options = options
        self._seeds = seeds
        self._n = len(networks) if method == "ensemble" else n_samples
        self._fast = FastUNet(networks[0]) if method == "mcdo" else None
        # Fused copies: faster, and the networks keep their mode.
        self._still = [] if method == "mcdo" else [fused(network) for network in networks]

    def pictures(self, x: Tensor, number: int) -> list[Opinion]:
        moments = [Moments(entropies=False) for _ in x]
        for p in self._samples(x, number):
            for one, sample in zip(moments, p, strict=True):
                one.update(sample)
        return [self._opinion(*m.maps()[:2]) for m in moments]

    def volume(self, x: Tensor, number: int) -> list[Opinion]:
        grid = x.shape[2:]
        layout = Layout(grid, grid, self._options.working.patch)
        blended = BlendedMaps(grid)
        for window in layout:
            moments = Moments(entropies=False)
            for p in self._samples(layout.cut(x, window), number, window.number):
                moments.update(layout.to_image(torch.from_numpy(p[0]), window).numpy())
            mean, variance, _ = moments.maps()
            blended.add(window.image, layout.importance(window), mean, variance, variance)
        return [self._opinion(blended.mean, blended.variance)]

    def _samples(self, x: Tensor, *number: int) -> Iterator[npt.NDArray[np.float32]]:
        """Probabilities (B, K or 1, *grid) of a batch, sample after sample."""
        if self._fast is not None:
            seeds = *self._seeds, *number
            samples = self._fast.logits(x, self._n, *seeds, bfloat16=self.bfloat16)
            yield from map(_probabilities, samples)
        elif self.method == "ensemble":
            for network in self._still:
                yield _probabilities(self._predict(network, x))
        else:
            grid = x.shape[2:]
            plane = plane_of_rotation(grid, self._options.working.spacing_mm)
            identity, *others = augmentations(len(grid), plane=plane)
            order = np.random.default_rng([*self._seeds, *number]).permutation(len(others))
            for change in (identity, *(others[i] for i in order[: self._n - 1])):
                changed = torch.cat([change.apply(one[None]) for one in x])
                p = _probabilities(self._predict(self._still[0], changed))
                back = [change.invert(torch.from_numpy(one), grid).numpy() for one in p]
                yield np.clip(np.stack(back), 0, 1)

    def _predict(self, network: RelabelUNet, x: Tensor) -> Tensor:
        x = x.to(device_of(network), memory_format=channels_last(x.ndim - 2))
        precision = torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.bfloat16)
        with torch.inference_mode(), precision, quick_convolutions(x.device, self.bfloat16):
            logits: Tensor = network(x)
        return logits

    def _opinion(self, mean: FloatArray, variance: FloatArray) -> Opinion:
        # Two classes need one channel.
        kept = mean[1:] if len(mean) == 2 else mean
        return Opinion(kept.astype(np.float16), variance.astype(np.float16), self.method, self._n)


def _difference(some: Sequence[Opinion], others: Sequence[Opinion]) -> float:
    pairs = zip(some, others, strict=True)
    return float(np.mean([np.abs(a.probabilities - b.probabilities).mean() for a, b in pairs]))


def _probabilities(logits: Tensor) -> npt.NDArray[np.float32]:
    logits = logits.float()
    p = torch.sigmoid(logits) if logits.shape[1] == 1 else logits.softmax(dim=1)
    return p.cpu().numpy()
