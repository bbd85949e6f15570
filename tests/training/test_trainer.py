"""One epoch: batch norm statistics, learning rate, and what is taught."""

import numpy as np
import pytest
import torch
from conftest import run_to_end, tiny
from torch.nn import BatchNorm2d

from napari_relabel.io.dataset import open_dataset
from napari_relabel.training.cases import load_cases
from napari_relabel.training.trainer import Trainer


@pytest.fixture
def trainer(discs):
    def make(n, **changes):
        options = tiny(**changes)
        cases = run_to_end(load_cases(open_dataset(discs(n)), options))[1]
        return Trainer(cases, options)

    return make


def first_norm(trainer):
    return next(m for m in trainer.network.modules() if isinstance(m, BatchNorm2d))


def test_kept_statistics_are_the_mean_of_the_second_half_of_the_epoch(trainer):
    made = trainer(4, windows_per_case=6, batch_size=1)
    norm, seen = first_norm(made), []
    norm.register_forward_pre_hook(lambda _, x: seen.append(x[0].detach().mean(dim=(0, 2, 3))))
    for _ in range(2):
        seen.clear()
        steps, _ = run_to_end(made.run_epoch())
        assert len(steps) == len(seen) == 24
        assert torch.allclose(norm.running_mean, torch.stack(seen[12:]).mean(dim=0), atol=1e-5)


def test_short_epochs_keep_the_usual_moving_average(trainer):
    made = trainer(4, batch_size=4)
    norm, seen = first_norm(made), []
    norm.register_forward_pre_hook(lambda _, x: seen.append(x[0].detach().mean(dim=(0, 2, 3))))
    for _ in range(3):
        run_to_end(made.run_epoch())
    expected = torch.zeros_like(seen[0])
    for mean in seen:
        expected = 0.9 * expected + 0.1 * mean
    assert torch.allclose(norm.running_mean, expected, atol=1e-6)


def test_the_learning_rate_falls_as_a_cosine_over_the_whole_run(trainer):
    made = trainer(4, batch_size=2, epochs=2, learning_rate=0.01)
    rates = []
    for _ in range(2):
        for _ in made.run_epoch():
            rates.append(made.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx(0.005 * (1 + np.cos(np.pi * np.arange(4) / 4)))


def test_a_constant_learning_rate_stays(trainer):
    made = trainer(4, batch_size=2, schedule="constant", learning_rate=0.01)
    run_to_end(made.run_epoch())
    assert made.optimizer.param_groups[0]["lr"] == 0.01


def test_it_is_taught_the_labels_that_the_caller_puts_there(trainer):
    made = trainer(4, epochs=15, learning_rate=0.02, dropout=0.0)
    made.labels = [1 - labels for labels in made.labels]
    for _ in range(15):
        run_to_end(made.run_epoch())
    case = made.cases.train[0]
    made.network.eval()
    with torch.inference_mode():
        image = torch.from_numpy(made.options.normalisation(case.image))[None]
        found = made.network(image)[0, 0].numpy() > 0
    assert (found != case.given).mean() > 0.9
