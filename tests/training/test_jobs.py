"""Members and folds: which cases each network learns from, and what the folder stands for."""

import pytest
from training_runs import run_to_end, tiny

from napari_relabel.io.dataset import open_dataset
from napari_relabel.io.errors import InputError
from napari_relabel.models.members import members_of, unseen
from napari_relabel.training.jobs import plan_jobs, train_jobs


def learning(job):
    return {case.id for case in job.dataset.cases if case.split == "train"}


def test_each_case_is_left_out_of_one_fold(discs, tmp_path):
    dataset = open_dataset(discs(11, n_validation=2))
    jobs = plan_jobs(dataset, tiny(), tmp_path, folds=3)
    assert [job.name for job in jobs] == ["fold-0", "fold-1", "fold-2"]
    everything = {f"c{i}" for i in range(2, 11)}
    left_out = [everything - learning(job) for job in jobs]
    assert sorted(map(len, left_out)) == [3, 3, 3]
    assert set().union(*left_out) == everything
    for job in jobs:
        assert {c.id for c in job.dataset.cases if c.split == "val"} == {"c0", "c1"}


def test_members_differ_in_their_seed_and_folds_do_not(discs, tmp_path):
    dataset = open_dataset(discs(6))
    jobs = plan_jobs(dataset, tiny(seed=5), tmp_path, folds=2, members=2)
    assert [(job.name, job.options.seed) for job in jobs] == [
        ("fold-0-member-0", 5),
        ("fold-0-member-1", 6),
        ("fold-1-member-0", 5),
        ("fold-1-member-1", 6),
    ]
    assert learning(jobs[0]) == learning(jobs[1]) != learning(jobs[2])


def test_random_validation_cases_are_the_same_in_every_fold(discs, tmp_path):
    dataset = open_dataset(discs(10))
    jobs = plan_jobs(dataset, tiny(validation_fraction=0.2), tmp_path, folds=2)
    validation = [{c.id for c in job.dataset.cases if c.split == "val"} for job in jobs]
    assert validation[0] == validation[1]
    assert len(validation[0]) == 2


def test_the_folder_judges_every_case_by_networks_that_never_saw_it(discs, tmp_path):
    dataset = open_dataset(discs(6))
    jobs = plan_jobs(dataset, tiny(epochs=1), tmp_path / "run", folds=2, members=2)
    # One of them by itself, as another process would.
    run_to_end(train_jobs(jobs[2:3]))
    _, results = run_to_end(train_jobs(jobs))
    assert list(results) == [job.name for job in jobs]
    members = members_of(tmp_path / "run")
    assert len(members) == 4
    for case in dataset.cases:
        judges, note = unseen(members, case.id)
        assert len(judges) == 2
        assert not note


def test_too_few_cases_for_the_folds(discs, tmp_path):
    dataset = open_dataset(discs(3))
    with pytest.raises(InputError, match="3 training cases, 2 folds need at least 4"):
        plan_jobs(dataset, tiny(), tmp_path, folds=2)
    with pytest.raises(ValueError, match="at least 1"):
        plan_jobs(dataset, tiny(), tmp_path, members=0)
