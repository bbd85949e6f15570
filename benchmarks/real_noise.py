"""Real label noise: pixels that a second drawing changed, and those that four radiologists dispute.

    python benchmarks/real_noise.py isic --out RUNS/real-noise
    python benchmarks/real_noise.py lidc --out RUNS/real-noise
    python benchmarks/real_noise.py report --out RUNS/real-noise

The first two train what is missing, estimate every case with networks that never saw it, measure
and write ``benchmarks/results/real_noise_<name>.json``; each goes on where it was interrupted.
``report`` makes ``docs/results_real_noise.md`` of those two files.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cleanlab.segmentation.filter import find_label_issues
from cleanlab.segmentation.rank import get_label_quality_scores
from real_noise_data import (
    NoisyCase,
    isic_cases,
    lidc_cases,
    options_record,
    train_isic,
    train_lidc,
)
from real_noise_estimates import METHODS, SAMPLES, estimate_case
from real_noise_measure import (
    DRAWS,
    BoolArray,
    FloatArray,
    bootstrap_ap,
    flips,
    pooled,
    precision_of_first,
    proposals_of,
    ranking,
    verdict,
)
from real_noise_report import report

from napari_relabel.core.estimate import Estimate
from napari_relabel.core.ranking import label_error_score
from napari_relabel.core.rules import RULES, Candidates, RuleOptions, candidates
from napari_relabel.io.atomic import write_json
from napari_relabel.models.options import SamplingMethod

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"

TRAIN = {"isic": train_isic, "lidc": train_lidc}
CASES = {"isic": isic_cases, "lidc": lidc_cases}

Scored = Callable[[NoisyCase, Estimate], Candidates]


def measure(cases: Sequence[NoisyCase], estimates: Sequence[Estimate]) -> dict[str, Any]:
    """All numbers of one sampler on one data set."""
    wrongs = [case.wrong for case in cases]
    scores, issues = cleanlab_of(cases, estimates)
    reference = bootstrap_ap(scores, wrongs)
    rows = {"cleanlab": _row(scores, wrongs, reference, None)}
    found = [
        proposals_of(case.given, _proposed(case, issue, score), 0.0, case.wrong)
        for case, issue, score in zip(cases, issues, scores, strict=True)
    ]
    rows["cleanlab"] |= {"first": precision_of_first(found), "flips": flips(issues, wrongs)}
    for name, scored in SCORED.items():
        pairs = zip(cases, estimates, strict=True)
        made = [scored(case, estimate) for case, estimate in pairs]
        delta = made[0].default_delta
        masks = [one.mask(delta) for one in made]
        rows[name] = _row([one.score for one in made], wrongs, None, reference)
        rows[name] |= {
            "first": precision_of_first(
                [
                    proposals_of(case.given, one, delta, case.wrong)
                    for case, one in zip(cases, made, strict=True)
                ]
            ),
            "flips": flips(masks, wrongs),
            "delta": delta,
        }
    return rows


def cleanlab_of(
    cases: Sequence[NoisyCase], estimates: Sequence[Estimate]
) -> tuple[list[FloatArray], list[BoolArray]]:
    """Cleanlab's 1 - label quality and its issues, on the pictures of all cases at once."""
    side = cases[0].grid[-2:]
    labels = np.concatenate([case.given.reshape(-1, *side) for case in cases])
    mean = np.concatenate(
        [np.moveaxis(e.probabilities.reshape(2, -1, *side), 0, 1) for e in estimates]
    )
    _, quality = get_label_quality_scores(labels, mean, n_jobs=1, verbose=False)
    issues = find_label_issues(labels, mean, n_jobs=1, verbose=False)
    cuts = np.cumsum([case.given.size // (side[0] * side[1]) for case in cases])[:-1]

    def by_case(array: np.ndarray) -> list[np.ndarray]:
        parts = np.split(array, cuts)
        return [part.reshape(case.grid) for part, case in zip(parts, cases, strict=True)]

    return by_case((1 - quality).astype(np.float32)), by_case(issues)


def _rule(name: str) -> Scored:
    return lambda case, estimate: candidates(case.given, estimate, RuleOptions(name))


def _error_score(case: NoisyCase, estimate: Estimate) -> Candidates:
    score = label_error_score(case.given, estimate)
    return _proposed(case, np.ones(case.grid, bool), score, 0.5)


def _proposed(
    case: NoisyCase, gate: BoolArray, score: FloatArray, delta: float = 0.0
) -> Candidates:
    target = np.where(gate, 1 - case.given, case.given).astype(np.uint8)
    return Candidates(target, (score * gate).astype(np.float32), 1.0, "score", delta)


SCORED: dict[str, Scored] = {
    **{name: _rule(name) for name in RULES},
    "label_error_score": _error_score,
}


def _row(
    scores: Sequence[FloatArray],
    wrongs: Sequence[BoolArray],
    own: FloatArray | None,
    reference: FloatArray | None,
) -> dict[str, Any]:
    row: dict[str, Any] = ranking(scores, wrongs)
    draws = bootstrap_ap(scores, wrongs) if own is None else own
    row["ap_interval"] = [float(x) for x in np.percentile(draws, [2.5, 97.5])]
    if reference is not None:
        row["ap_minus_cleanlab"] = verdict(draws - reference)
    return row


def run(name: str, data: Path, out: Path) -> None:
    training = TRAIN[name](data, out)
    cases = list(CASES[name](data, out))
    samplers: dict[str, Any] = {}
    for method in METHODS:
        samplers[method] = _measured(name, method, cases, out)
        print(f"{name}, {method}: measured", flush=True)
    wrong = pooled([case.wrong for case in cases])
    write_json(
        RESULTS / f"real_noise_{name}.json",
        {
            "data": name,
            "command": f"python benchmarks/real_noise.py {name} --out RUNS/real-noise",
            "cases": len(cases),
            "pictures": sum(len(case.images) for case in cases),
            "pixels": wrong.size,
            "wrong_share": float(wrong.mean()),
            "bootstrap_draws": DRAWS,
            "options": {**options_record(name), "samples": SAMPLES},
            "samplers": samplers,
            "seconds": {
                "training": round(training),
                "estimates": round(sum(s["seconds_estimates"] for s in samplers.values())),
                "measures": round(sum(s["seconds_measures"] for s in samplers.values())),
            },
            "hardware": {"processor": _processor(), "threads": torch.get_num_threads()},
            "versions": {
                "python": platform.python_version(),
                **{p: version(p) for p in ("napari-relabel", "torch", "numpy", "cleanlab")},
            },
        },
    )


def _measured(
    name: str, method: SamplingMethod, cases: Sequence[NoisyCase], out: Path
) -> dict[str, Any]:
    path = out / "measured" / f"{name}-{method}.json"
    if path.exists():
        known: dict[str, Any] = json.loads(path.read_text())
        return known
    made = [estimate_case(case, method, out / "estimates" / name / method) for case in cases]
    start = time.perf_counter()
    rows = measure(cases, [estimate for estimate, _ in made])
    found = {
        "n_samples": made[0][0].n_samples,
        "rows": rows,
        "seconds_estimates": sum(seconds for _, seconds in made),
        "seconds_measures": time.perf_counter() - start,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, found)
    return found


def _processor() -> str:
    lines = Path("/proc/cpuinfo")
    if lines.exists():
        for line in lines.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("isic", "lidc", "report"))
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and estimates")
    parser.add_argument("--threads", type=int, default=1, help="of the processor")
    arguments = parser.parse_args()
    if arguments.what == "report":
        report(RESULTS, ROOT / "docs" / "results_real_noise.md")
        return
    data = Path(os.environ.get("NAPARI_RELABEL_DATA", ROOT.parent / "shared" / "data"))
    if not data.is_dir():
        parser.error(f"{data} does not exist: set NAPARI_RELABEL_DATA to the folder of the data")
    torch.set_num_threads(arguments.threads)
    run(arguments.what, data, arguments.out)


if __name__ == "__main__":
    main()
