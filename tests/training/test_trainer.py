"""One epoch: batch norm statistics, learning rate, and what is taught."""

import numpy as np
import pytest
import torch
from torch.nn import BatchNorm2d, Conv2d
from training_runs import run_to_end, tiny

from napari_relabel.io.dataset import open_dataset
from napari_relabel.training.augment import AugmentOptions
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


def test_kept_statistics_are_those_of_the_images_as_they_are(trainer):
    wild = AugmentOptions(brightness=50.0, contrast=1.0)
    made = trainer(4, windows_per_case=6, batch_size=1, augment=wild)
    first_convolution = next(m for m in made.network.modules() if isinstance(m, Conv2d))
    norm = first_norm(made)
    for _ in range(2):
        steps, _ = run_to_end(made.run_epoch())
        assert [s.loss is None for s in steps] == [False] * 24 + [True] * 16
        images = torch.from_numpy(
            np.stack([made.options.normalisation(case.image) for case in made.cases.train])
        )
        with torch.no_grad():
            seen = first_convolution(images)
        assert torch.allclose(norm.running_mean, seen.mean(dim=(0, 2, 3)), atol=1e-5)
        assert torch.allclose(norm.running_var, seen.var(dim=(2, 3)).mean(dim=0), rtol=1e-4)
        assert norm.momentum == 0.1


def test_an_epoch_cut_short_by_closing_counts_for_nothing(trainer):
    made = trainer(4)
    steps = made.run_epoch()
    next(steps)
    steps.close()
    assert made.epoch == 0


def test_the_learning_rate_falls_as_a_cosine_over_the_whole_run(trainer):
    made = trainer(4, batch_size=2, epochs=2, learning_rate=0.01)
    rates = []
    for _ in range(2):
        for step in made.run_epoch():
            if step.loss is not None:
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
