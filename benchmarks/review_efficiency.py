"""How many decisions a review takes: a simulated reviewer of noisy lesions and livers.

    python benchmarks/review_efficiency.py train --out RUNS/review
    python benchmarks/review_efficiency.py skin --out RUNS/review --table1 OUT
    python benchmarks/review_efficiency.py liver --out RUNS/review --table1 OUT
    python benchmarks/review_efficiency.py report --out RUNS/review

``train`` cross-fits the networks, condition by condition, and goes on where it was interrupted.
``skin`` and ``liver`` estimate the cases of the conditions that are trained, simulate the review
and write ``benchmarks/results/review_efficiency_<name>.json``; conditions that are not take the
networks of ``napari-relabel reproduce table1 --out OUT``, if they are given. ``report`` makes
``docs/results_review.md`` and its figures of those two files.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from review_efficiency_cleanlab import cleanlab_of
from review_efficiency_data import (
    APPROVED,
    CONDITIONS,
    DRAW_SEED,
    FOLDS,
    Condition,
    Networks,
    networks_of,
    options_of,
    train,
)
from review_efficiency_estimates import SAMPLES, Case, cases
from review_efficiency_measure import BUDGETS, MISTAKES, SEEDS, measure
from review_efficiency_pool import CaseProposals, pool, proposals_of
from review_efficiency_report import report

from napari_relabel.core.learn import Reviewed, learn, tabulate
from napari_relabel.core.rules import RuleOptions
from napari_relabel.io.atomic import atomic_path, to_json, write_json
from napari_relabel.reproduce.cells import DATASETS, DatasetName
from napari_relabel.reproduce.machine import describe_machine

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"

#: By key: the rule and its delta; None is the rule's own delta.
RULES: dict[str, tuple[RuleOptions, float | None]] = {
    "gated": (RuleOptions("gated"), None),
    "confident": (RuleOptions("confident"), None),
    "disagreement": (RuleOptions("gated"), 0.0),
}


def proposed(
    found: Sequence[Case], rules: Mapping[str, tuple[RuleOptions, float | None]]
) -> dict[str, list[CaseProposals]]:
    """The proposals of every rule in some cases."""
    made: dict[str, list[CaseProposals]] = {name: [] for name in rules}
    for case in found:
        given, clean, estimate = case.given(), case.clean(), case.estimate()
        scores = cleanlab_of(given, estimate)
        for name, (options, delta) in rules.items():
            made[name].append(proposals_of(given, clean, estimate, scores, options, delta))
    return made


def review(proposals: Sequence[CaseProposals]) -> dict[str, Any] | None:
    """What the simulated reviewer wins back; None where nothing is proposed."""
    if not any(len(one.voxels) for one in proposals):
        return None
    return measure(pool(proposals))


def measured(condition: Condition, networks: Networks, data: Path, out: Path) -> dict[str, Any]:
    """All numbers of a condition; read from `out` where they were found before."""
    path = out / "measured" / f"{condition.name}-{networks.split}.json"
    if path.exists():
        known: dict[str, Any] = json.loads(path.read_text())
        return known
    found = cases(condition, networks, data, out)
    start = time.perf_counter()
    reviewed = [case for case in found if case.reviewed]
    rules = {name: review(made) for name, made in proposed(reviewed, RULES).items()}
    learnt = learn(
        tabulate(Reviewed(case.given(), case.clean(), case.estimate()))
        for case in found
        if case.approved
    )
    rules["learnt"] = None
    if learnt.options is not None:
        # An approved case is right already: nobody reviews it again.
        rest = [case for case in reviewed if not case.approved]
        rules["learnt"] = review(proposed(rest, {"": (learnt.options, learnt.delta)})[""])
    result = {
        "noise": condition.noise,
        "training": condition.training,
        "split": networks.split,
        "rules": rules,
        "learnt": learnt.describe(),
        "label_dice": networks.label_dice,
        "seconds": {
            "training": round(networks.seconds),
            "estimates": round(sum(case.seconds() for case in found)),
            "simulation": round(time.perf_counter() - start),
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result)
    print(f"{condition.name}: measured", flush=True)
    return result


def run(dataset: DatasetName, data: Path, out: Path, table1: Path | None) -> None:
    """Measure the conditions of a data set for which there are networks, and write them down."""
    here = [one for one in CONDITIONS if one.dataset == dataset]
    ready = {one: found for one in here if (found := networks_of(one, out, table1))}
    conditions = [measured(one, networks, data, out) for one, networks in ready.items()]
    machine = describe_machine()
    machine["versions"]["cleanlab"] = version("cleanlab")
    reviewing = f"{dataset} --out RUNS/review{'' if table1 is None else ' --table1 OUT'}"
    write_results(
        RESULTS / f"review_efficiency_{dataset}.json",
        {
            "data": dataset,
            "commands": [
                f"python benchmarks/review_efficiency.py {step}"
                for step in ("train --out RUNS/review", reviewing)
            ],
            "options": {
                "train": options_of(here[0]).to_json(),
                "folds": FOLDS[dataset],
                "samples": SAMPLES[dataset],
                "draw_seed": DRAW_SEED,
                "approved": APPROVED[dataset],
                "mistakes": MISTAKES,
                "seeds": len(SEEDS),
                "budgets": BUDGETS,
            },
            "conditions": conditions,
            "not_run": [one.name for one in here if one not in ready],
            "machine": machine,
        },
    )


def write_results(path: Path, value: dict[str, Any]) -> None:
    """Write JSON with every list of numbers on one line."""
    text = re.sub(r"\[[-+.\de,\s]+\]", lambda m: " ".join(m[0].split()), to_json(value))
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("train", *DATASETS, "report"))
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and estimates")
    parser.add_argument(
        "--table1",
        type=Path,
        help="OUT of `napari-relabel reproduce table1`: where a condition is not cross-fitted, its "
        "network there reviews the validation cases",
    )
    parser.add_argument("--threads", type=int, default=1, help="of the processor")
    arguments = parser.parse_args()
    if arguments.what == "report":
        report(RESULTS, ROOT / "docs")
        return
    data = Path(os.environ.get("NAPARI_RELABEL_DATA", ROOT.parent / "shared" / "data"))
    if not data.is_dir():
        parser.error(f"{data} does not exist: set NAPARI_RELABEL_DATA to the folder of the data")
    torch.set_num_threads(arguments.threads)
    if arguments.what == "train":
        for condition in CONDITIONS:
            if networks_of(condition, arguments.out, None) is None:
                train(condition, data, arguments.out)
    else:
        run(arguments.what, data, arguments.out, arguments.table1)


if __name__ == "__main__":
    main()
