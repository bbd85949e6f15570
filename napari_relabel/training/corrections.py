"""How a training run deals with labels that may be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from napari_relabel.core.estimate import KINDS, Kind
from napari_relabel.core.rules import Rule
from napari_relabel.models.options import SamplingMethod

TrainingRule = Literal["evidence"] | Rule
TRAINING_RULES: tuple[str, ...] = ("evidence", *get_args(Rule))

Onset = Literal["steady", "early-learning", "uncertainty-change"]
ONSETS: tuple[Onset, ...] = get_args(Onset)


@dataclass(frozen=True)
class Relabelling:
    """Labels are corrected between epochs, always from the given ones.

    Parameters
    ----------
    method : {"mcdo", "tta", "ensemble"}
        Sampler of the uncertainty. ``"ensemble"`` trains `n_samples` networks side by side on
        the same corrected labels.
    n_samples : int
        Stochastic predictions per case, or members; at least 2.
    rule : str
        ``"evidence"`` (see `napari_relabel.core.automatic`), or a rule of
        `napari_relabel.core.rules.RuleOptions`.
    kind : Kind
        Uncertainty that is the score of ``"uncertainty"`` and ``"gated"``.
    delta : float, optional
        Of a named rule. None: chosen for each case by the evidence in its image, without any
        clean mask.
    start : int or {"steady", "early-learning", "uncertainty-change"}
        When correcting begins. A number is an epoch, counted from 1: labels are corrected at its
        end, and at that of every later one. ``"steady"``: when the networks of two successive
        epochs would make the same corrections. For all three see `napari_relabel.training.onset`.
    max_fraction : float
        A case of which more than this share of the voxels would change keeps its given labels, in
        [0, 1].
    trusted : tuple of str
        Ids of cases whose clean masks may be used: they are trained on, and rule and thresholds
        are learnt from them (see `napari_relabel.core.learn`), in place of `rule`, `delta` and
        `start`.

    Raises
    ------
    ValueError
        If a value is out of its range.
    """

    method: SamplingMethod = "mcdo"
    n_samples: int = 5
    rule: TrainingRule = "evidence"
    kind: Kind = "total"
    delta: float | None = None
    start: Onset | int = "steady"
    max_fraction: float = 0.5
    trusted: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, choices in (
            ("method", get_args(SamplingMethod)),
            ("rule", TRAINING_RULES),
            ("kind", KINDS),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"unknown {name} {getattr(self, name)!r}: choose from {', '.join(choices)}"
                )
        if self.n_samples < 2:
            raise ValueError(f"a spread needs at least 2 samples, not {self.n_samples}")
        if self.delta is not None and not self.delta >= 0:
            raise ValueError(f"delta must be a number >= 0, not {self.delta}")
        if self.delta is not None and self.rule == "evidence":
            raise ValueError("the rule 'evidence' chooses its own thresholds and takes no delta")
        if not (self.start in ONSETS or (isinstance(self.start, int) and self.start >= 1)):
            raise ValueError(
                f"start is an epoch from 1 or one of {', '.join(ONSETS)}, not {self.start!r}"
            )
        if not 0 <= self.max_fraction <= 1:
            raise ValueError(f"max_fraction is a share in [0, 1], not {self.max_fraction}")
        if len(self.trusted) == 1:
            raise ValueError("learning from trusted cases needs at least 2 of them")


@dataclass(frozen=True)
class Reweighting:
    """Every voxel's loss is weighted by how much it agrees with clean cases.

    The baseline of Mirikharaji et al. (2019); see `napari_relabel.training.reweight`. Unlike
    relabelling without trusted cases it needs clean masks.

    Parameters
    ----------
    trusted : tuple of str
        Ids of the cases whose clean masks are used, at least one.

    Raises
    ------
    ValueError
        If there are none.
    """

    trusted: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.trusted:
            raise ValueError("reweighting needs cases with clean masks: name at least one")


Correction = Relabelling | Reweighting
_KINDS: dict[str, type[Relabelling | Reweighting]] = {
    "relabel": Relabelling,
    "reweight": Reweighting,
}


def correction_to_json(correction: Correction | None) -> dict[str, Any] | None:
    """As JSON values, with the key "correction" for which it is."""
    if correction is None:
        return None
    name = next(name for name, kind in _KINDS.items() if isinstance(correction, kind))
    return {"correction": name, **asdict(correction)}


def correction_from_json(value: Mapping[str, Any] | None) -> Correction | None:
    """Rebuild from `correction_to_json`; ValueError where a name is unknown."""
    if value is None:
        return None
    name = value.get("correction")
    if name not in _KINDS:
        raise ValueError(f"unknown correction {name!r}: choose from {', '.join(_KINDS)}")
    kind = _KINDS[name]
    rest = {key: v for key, v in value.items() if key != "correction"}
    unknown = set(rest) - {f.name for f in fields(kind)}
    if unknown:
        raise ValueError(f"unknown options of {name}: {', '.join(sorted(unknown))}")
    return kind(**{**rest, "trusted": tuple(rest.get("trusted", ()))})
