"""The order of the cells, their names, and what each does."""

from __future__ import annotations

import pytest

from napari_relabel.reproduce.cells import Cell, correction_for, figure_cells, table1_cells
from napari_relabel.reproduce.schedule import chosen
from napari_relabel.training.corrections import Relabelling, Reweighting

IDS = [f"case{i}" for i in range(40)]


def test_cells_come_in_the_order_of_importance() -> None:
    cells = table1_cells()
    main = [c for c in cells if c.noise != "clean"][: 3 * 3 * 2 * 3]
    assert {c.variant for c in main} == {"none", "paper-mcdo", "ours-mcdo"}
    assert [(c.dataset, c.seed) for c in main[::9]] == [
        ("skin", 0),
        ("liver", 0),
        ("skin", 1),
        ("liver", 1),
        ("skin", 2),
        ("liver", 2),
    ]
    assert [c.noise for c in main[:9:3]] == ["3 vertices", "7 vertices", "smooth"]
    first = [
        next(i for i, c in enumerate(cells) if wanted(c))
        for wanted in (
            lambda c: c.variant == "none" and c.noise == "clean",
            lambda c: c.variant == "ours-mcdo" and c.noise == "clean",
            lambda c: c.variant == "trusted-10",
            lambda c: c.variant == "reweight-10",
            lambda c: c.variant == "ours-tta",
            lambda c: c.variant == "ours-ensemble",
            lambda c: c.variant == "retrain-noisy",
            lambda c: c.variant == "argmax-mcdo",
        )
    ]
    assert first == sorted(first)
    assert first[0] == len(main)


def test_names_are_unique_and_stable() -> None:
    cells = (*table1_cells(), *figure_cells(4), *figure_cells(5))
    assert len({c.name for c in cells}) == len(set(cells))
    assert Cell("skin", "3 vertices", "none").name == "skin-3-vertices-none-seed0"
    assert Cell("liver", "clean", "ours-mcdo", 2).name == "liver-clean-ours-mcdo-seed2"


def test_a_cell_is_chosen_by_a_part_of_its_name_or_a_pattern() -> None:
    cells = table1_cells()
    assert {c.variant for c in chosen(cells, "trusted-10")} == {"trusted-10"}
    assert chosen(cells, "liver-smooth-none-seed?") == tuple(
        Cell("liver", "smooth", "none", seed) for seed in range(3)
    )
    with pytest.raises(ValueError, match="no cell fits 'heart'"):
        chosen(cells, "heart")


def test_the_rule_of_the_paper_is_literal_and_ours_is_the_default() -> None:
    assert correction_for(Cell("skin", "smooth", "none"), IDS, 10) is None
    assert correction_for(Cell("skin", "smooth", "ours-mcdo"), IDS, 10) == Relabelling()
    # With the starts that the paper reports.
    for dataset, start in (("skin", 2), ("liver", 1)):
        paper = correction_for(Cell(dataset, "smooth", "paper-tta"), IDS, 10)
        assert paper == Relabelling(
            method="tta", rule="uncertainty", kind="total", delta=0.2, start=start
        )
    ensemble = correction_for(Cell("skin", "smooth", "ours-ensemble"), IDS, 10)
    assert ensemble == Relabelling(method="ensemble", n_samples=3)
    argmax = correction_for(Cell("skin", "smooth", "argmax-mcdo"), IDS, 10)
    assert argmax == Relabelling(rule="gated", delta=0.0)


def test_reviewed_cases_are_nested_and_the_same_for_reweighting() -> None:
    found = {
        k: correction_for(Cell("skin", "smooth", f"trusted-{k}"), IDS, 10) for k in (5, 10, 20)
    }
    ids = {k: how.trusted for k, how in found.items() if isinstance(how, Relabelling)}
    assert {k: len(set(names)) for k, names in ids.items()} == {5: 5, 10: 10, 20: 20}
    assert ids[20][:10] == ids[10]
    assert ids[10][:5] == ids[5]
    assert correction_for(Cell("skin", "smooth", "reweight-10"), IDS, 10) == Reweighting(ids[10])
    other = correction_for(Cell("skin", "smooth", "reweight-10", 1), IDS, 10)
    assert other != Reweighting(ids[10])


def test_unknown_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown variant 'magic'"):
        Cell("skin", "smooth", "magic")
