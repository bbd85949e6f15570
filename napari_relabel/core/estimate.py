"""What a stochastic segmentation model knows about a case: mean prediction and uncertainty."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import (
    FloatArray,
    LabelArray,
    entropy,
    half_trace,
    most_probable,
)

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

#: Fields of an `Estimate` that are maps.
MAPS = ("mean", "variance", "expected_entropy", "given")

_Scalar = TypeVar("_Scalar", bound=np.generic)

#: How far outside its range a value may be: resampled probabilities overshoot by rounding.
SLACK = 1e-4


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


@dataclass(frozen=True, eq=False)
class Estimate:
    """Mean prediction and uncertainty of one case, on the grid of its image.

    Arrays of other dtypes are converted to float32; what comes out of an estimate is read-only,
    because it is shared.

    Parameters
    ----------
    method : {"mcdo", "ensemble", "tta", "given"}
        Where the samples came from.
    n_samples : int
        Number of stochastic samples N (1 for a single probability map).
    n_classes : int
        Number of classes K, background included; 2 to 256.
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
    extra : dict of str to str
        Anything else to keep with it.

    Raises
    ------
    ValueError
        If shapes don't fit, neither `mean` nor `given` is there, or a value is NaN or outside
        its range.
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
        if not 2 <= self.n_classes <= 256:
            raise ValueError(f"an estimate needs 2 to 256 classes, not {self.n_classes}")
        if self.mean is None and self.given is None:
            raise ValueError("an estimate needs mean probabilities or a given uncertainty map")
        tops = {
            "mean": 1.0,
            "variance": max_uncertainty("epistemic", self.n_classes),
            "expected_entropy": max_uncertainty("expected_entropy", self.n_classes),
            "given": self.given_max,
        }
        for name, top in tops.items():
            if getattr(self, name) is None:
                continue
            array = np.asarray(getattr(self, name), np.float32)
            object.__setattr__(self, name, array)
            if name == "mean" and (array.ndim < 1 or array.shape[0] != self.n_classes):
                raise ValueError(
                    f"mean has shape {array.shape}, expected {self.n_classes} classes on axis 0"
                )
            if name != "mean" and array.shape != self.shape:
                raise ValueError(f"{name} has shape {array.shape}, expected {self.shape}")
            if array.size and not (array.min() >= -SLACK and array.max() <= top + SLACK):
                raise ValueError(
                    f"{name} must be in [0, {top:.4g}] without NaN, "
                    f"found {array.min():.4g} to {array.max():.4g}"
                )

    @property
    def about(self) -> dict[str, Any]:
        """The fields that are no maps, as they are stored beside those."""
        return {
            "method": self.method,
            "n_samples": self.n_samples,
            "n_classes": self.n_classes,
            "given_max": self.given_max,
            "model_hash": self.model_hash,
            "note": self.note,
            "extra": self.extra,
        }

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
    def prediction(self) -> LabelArray:
        """Most probable class per voxel, shape grid; ValueError without probabilities."""
        return _read_only(most_probable(self.probabilities))

    @property
    def probabilities(self) -> FloatArray:
        """`mean`, or ValueError where only an uncertainty map was given."""
        if self.mean is None:
            raise ValueError(
                "this estimate holds an uncertainty map but no class probabilities: "
                "use rule 'uncertainty' with two classes, or give probability maps"
            )
        return self.mean

    @cached_property
    def _total(self) -> FloatArray:
        if self.mean is None:
            assert self.given is not None
            return _read_only(self.given)
        return _read_only(half_trace(self.mean))

    def uncertainty(self, kind: Kind = "total") -> FloatArray:
        """Per-voxel uncertainty.

        Parameters
        ----------
        kind : Kind
            Which; see `kinds` for what this estimate has.

        Returns
        -------
        ndarray, shape grid, float32
            Values in ``[0, maximum(kind)]``, read-only where the estimate keeps it.

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
            return _read_only(self.variance)
        if kind == "aleatoric":
            assert self.variance is not None
            return _difference(self._total, self.variance)
        if kind == "expected_entropy":
            assert self.expected_entropy is not None
            return _read_only(self.expected_entropy)
        predictive = entropy(self.probabilities)
        if kind == "predictive_entropy":
            return predictive
        assert self.expected_entropy is not None
        return _difference(predictive, self.expected_entropy)

    def maximum(self, kind: Kind = "total") -> float:
        """Upper end of the range of `uncertainty`."""
        if self.mean is None:
            return self.given_max
        return max_uncertainty(kind, self.n_classes)


def _difference(whole: FloatArray, part: FloatArray) -> FloatArray:
    out: FloatArray = np.subtract(whole, part)
    return np.maximum(out, np.float32(0), out=out)


def _read_only(array: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
    view = array.view()
    view.flags.writeable = False
    return view
