"""Training on a GPU of NVIDIA: it learns what the processor learns, and either goes on."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from training_runs import run_to_end, tiny

from napari_relabel.io.dataset import open_dataset
from napari_relabel.training.augment import AugmentOptions
from napari_relabel.training.cases import load_cases
from napari_relabel.training.corrections import Relabelling, Reweighting
from napari_relabel.training.loop import train
from napari_relabel.training.trainer import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU of NVIDIA")
GPU = torch.device("cuda", 0)


def test_it_learns_discs(discs, tmp_path):
    options = tiny(epochs=10, windows_per_case=2, learning_rate=5e-3, features=8)
    dataset = open_dataset(discs(12, n_validation=3))
    _, result = run_to_end(train(dataset, options, tmp_path / "run", "cuda"))
    assert result.dice_mean > 0.9
    assert result.history[-1].device.startswith("cuda:0 (")
    with (tmp_path / "run" / "metrics.csv").open() as file:
        assert {row["device"] for row in csv.DictReader(file)} == {result.history[-1].device}


def test_the_first_steps_are_those_of_the_processor(discs):
    options = tiny(dropout=0.0, augment=AugmentOptions())
    _, cases = run_to_end(load_cases(open_dataset(discs(12)), options))
    losses = []
    for device in (torch.device("cpu"), GPU):
        trainer = Trainer(cases, options, device)
        steps, _ = run_to_end(trainer.run_epoch())
        losses.append([step.loss for step in steps if step.loss is not None])
    np.testing.assert_allclose(losses[0], losses[1], rtol=5e-3)


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("method", ["mcdo", "tta", "ensemble"])
def test_relabelling(discs, tmp_path, method, bfloat16):
    how = Relabelling(method=method, n_samples=2, start=1)
    options = tiny(epochs=2, correction=how, bfloat16=bfloat16)
    _, result = run_to_end(train(open_dataset(discs(8)), options, tmp_path / "run", "cuda"))
    assert len(result.history) == 2
    assert result.history[0].uncertainty > 0


def test_reweighting(discs, tmp_path):
    dataset = open_dataset(discs(8))
    cases = tuple(replace(case, clean=case.labels) for case in dataset.cases)
    options = tiny(epochs=2, correction=Reweighting((cases[0].id, cases[1].id)))
    _, result = run_to_end(train(replace(dataset, cases=cases), options, tmp_path / "run", "cuda"))
    assert np.isfinite(result.history[-1].loss)


def test_a_run_goes_on_on_the_other_device(discs, tmp_path):
    dataset, options = open_dataset(discs(8)), tiny(epochs=3)
    running = train(dataset, options, tmp_path / "run", "cuda")
    for progress in running:
        if progress.message == "epoch 1 finished":
            running.close()
    _, result = run_to_end(train(dataset, options, tmp_path / "run", "cpu"))
    assert [m.device[:3] for m in result.history] == ["cud", "cpu", "cpu"]


def test_the_callers_random_state_is_left_alone(discs, tmp_path):
    before = torch.cuda.get_rng_state(), torch.get_rng_state()
    run_to_end(train(open_dataset(discs(4)), tiny(epochs=1), tmp_path / "run", "cuda"))
    assert torch.equal(before[0], torch.cuda.get_rng_state())
    assert torch.equal(before[1], torch.get_rng_state())


def test_a_batch_that_does_not_fit_says_what_to_do(discs):
    options = tiny(features=64)
    _, cases = run_to_end(load_cases(open_dataset(discs(8)), options))
    trainer = Trainer(cases, options, GPU)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(2**26 / torch.cuda.mem_get_info()[1])
    try:
        with pytest.raises(MemoryError, match=r"4 windows .*smaller batch size.*'cpu'"):
            run_to_end(trainer.run_epoch())
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
