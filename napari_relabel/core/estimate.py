"""What a stochastic segmentation model knows about a case: mean prediction and uncertainty."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

Kind = Literal[
    "total",
    "aleatoric",
    "epistemic",
    "predictive_entropy",
    "expected_entropy",
    "mutual_information",
]
Method = Literal["mcdo", "ensemble", "tta", "given"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def kind_title(kind: Kind, method: str) -> str:
    """Name of a kind of uncertainty as people read it.

    Under test-time augmentation the spread between samples comes from the image and not from
    the model, so the two parts of the variance are named for what they measure.

    Parameters
    ----------
    kind : Kind
        Which uncertainty.
    method : str
        The sampler: ``"mcdo"``, ``"ensemble"``, ``"tta"`` or ``"given"``.

    Returns
    -------
    str
        For example ``"epistemic U"``.
    """
    if method == "tta":
        renamed = {"aleatoric": "within-sample", "epistemic": "between-augmentation"}
        return f"{renamed.get(kind, kind.replace('_', ' '))} U"
    return f"{kind.replace('_', ' ')} U"


def max_uncertainty(kind: Kind, n_classes: int) -> float:
    """Largest value that a kind of uncertainty can take.

    Parameters
    ----------
    kind : Kind
        Which uncertainty.
    n_classes : int
        Number of classes K, background included; at least 2.

    Returns
    -------
    float
        ``(1 - 1/K) / 2`` for the variances (0.25 for K = 2), ``log K`` nats for the entropies.
    """
    if kind in ("total", "aleatoric", "epistemic"):
        return (1 - 1 / n_classes) / 2
    return float(np.log(n_classes))


def half_trace(p: npt.NDArray[np.floating]) -> FloatArray:
    """Half of sum_k p_k (1 - p_k): the variance of a one-hot draw, equal to p (1 - p) for K = 2.

    Parameters
    ----------
    p : ndarray, shape (K, *grid)
        Class probabilities in [0, 1].

    Returns
    -------
    ndarray, shape grid, float32
        Values in [0, (1 - 1/K) / 2].
    """
    if p.shape[0] == 2:
        return (p[1] * (1 - p[1])).astype(np.float32, copy=False)
    out = np.zeros(p.shape[1:], np.float32)
    for p_k in p:
        out += p_k * (1 - p_k)
    out *= 0.5
    return out


def entropy(p: npt.NDArray[np.floating]) -> FloatArray:
    """Shannon entropy over the class axis.

    Parameters
    ----------
    p : ndarray, shape (K, *grid)
        Class probabilities in [0, 1].

    Returns
    -------
    ndarray, shape grid, float32
        Entropy in nats, in [0, log K]; ``0 log 0`` is 0.
    """
    out = np.zeros(p.shape[1:], np.float32)
    for p_k in p:
        positive = np.maximum(p_k, np.finfo(np.float32).tiny)
        out -= p_k * np.log(positive)
    return np.maximum(out, 0, out=out)


@dataclass(frozen=True, eq=False)
class Estimate:
    """Mean prediction and uncertainty of one case, on the grid of its image.

    Parameters
    ----------
    method : {"mcdo", "ensemble", "tta", "given"}
        Where the samples came from.
    n_samples : int
        Number of stochastic samples N (1 for a single probability map).
    n_classes : int
        Number of classes K, background included; at least 2.
    mean : ndarray, shape (K, *grid), float32, optional
        p_mean, in [0, 1], summing to 1 over K. None where only an uncertainty map was given.
    variance : ndarray, shape grid, float32, optional
        Half the trace of the epistemic matrix, ``0.5 * sum_k var_n p_nk`` (population variance).
        None where there is no more than one sample.
    expected_entropy : ndarray, shape grid, float32, optional
        Mean over the samples of the entropy of each, in nats.
    given : ndarray, shape grid, float32, optional
        An uncertainty map from elsewhere, where there are no probabilities. It answers to every
        rule as kind ``"total"`` and its range is ``[0, given_max]``.
    given_max : float
        Upper end of the range of `given`.
    model_hash : str
        Content hash of the model, empty for ``"given"``.
    note : str
        What a reviewer should know, for example that the model was trained on this very case.
    """

    method: Method
    n_samples: int
    n_classes: int
    mean: FloatArray | None = None
    variance: FloatArray | None = None
    expected_entropy: FloatArray | None = None
    given: FloatArray | None = None
    given_max: float = 0.25
    model_hash: str = ""
    note: str = ""
    extra: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.n_classes < 2:
            raise ValueError(f"an estimate needs at least 2 classes, not {self.n_classes}")
        if self.mean is None and self.given is None:
            raise ValueError("an estimate needs mean probabilities or a given uncertainty map")
        if self.mean is not None and self.mean.shape[0] != self.n_classes:
            raise ValueError(
                f"mean has {self.mean.shape[0]} classes on its first axis, expected {self.n_classes}"
            )
        for name in ("variance", "expected_entropy", "given"):
            array = getattr(self, name)
            if array is not None and array.shape != self.shape:
                raise ValueError(f"{name} has shape {array.shape}, expected {self.shape}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the grid."""
        if self.mean is not None:
            return self.mean.shape[1:]
        assert self.given is not None
        return self.given.shape

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of uncertainty that this estimate can answer for."""
        if self.mean is None:
            return ("total",)
        kinds: list[Kind] = ["total"]
        if self.variance is not None:
            kinds += ["aleatoric", "epistemic"]
        kinds.append("predictive_entropy")
        if self.expected_entropy is not None:
            kinds += ["expected_entropy", "mutual_information"]
        return tuple(kinds)

    @cached_property
    def prediction(self) -> npt.NDArray[np.uint8]:
        """Most probable class per voxel, shape grid; ValueError without probabilities."""
        mean = self.probabilities
        if self.n_classes == 2:
            return (mean[1] > mean[0]).astype(np.uint8)
        return mean.argmax(axis=0).astype(np.uint8)

    @property
    def probabilities(self) -> FloatArray:
        """`mean`, or ValueError where only an uncertainty map was given."""
        if self.mean is None:
            raise ValueError(
                "this estimate holds an uncertainty map but no class probabilities: "
                "use rule 'uncertainty', or give probability maps"
            )
        return self.mean

    @cached_property
    def _total(self) -> FloatArray:
        if self.mean is None:
            assert self.given is not None
            return self.given
        return half_trace(self.mean)

    def uncertainty(self, kind: Kind = "total") -> FloatArray:
        """Per-voxel uncertainty.

        Parameters
        ----------
        kind : Kind
            Which; see `kinds` for what this estimate has.

        Returns
        -------
        ndarray, shape grid, float32
            Values in ``[0, maximum(kind)]``.

        Raises
        ------
        ValueError
            If this estimate cannot answer for `kind`.

        Notes
        -----
        total = p_mean (1 - p_mean), aleatoric = mean_n p_n (1 - p_n), epistemic = var_n p_n
        (Kwon et al., MIDL 2018); for K > 2, half the trace of each matrix.
        """
        if kind not in KINDS:
            raise ValueError(
                f"unknown kind of uncertainty {kind!r}: choose from {', '.join(KINDS)}"
            )
        if kind not in self.kinds:
            raise ValueError(
                f"this estimate ({self.method}, {self.n_samples} samples) has no {kind} "
                f"uncertainty: it has {', '.join(self.kinds)}"
            )
        if kind == "total":
            return self._total
        if kind == "epistemic":
            assert self.variance is not None
            return self.variance
        if kind == "aleatoric":
            assert self.variance is not None
            return np.maximum(self._total - self.variance, 0)
        if kind == "expected_entropy":
            assert self.expected_entropy is not None
            return self.expected_entropy
        predictive = entropy(self.probabilities)
        if kind == "predictive_entropy":
            return predictive
        assert self.expected_entropy is not None
        return np.maximum(predictive - self.expected_entropy, 0)

    def maximum(self, kind: Kind = "total") -> float:
        """Upper end of the range of `uncertainty`."""
        if self.mean is None:
            return self.given_max
        return max_uncertainty(kind, self.n_classes)
