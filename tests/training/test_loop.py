"""The training loop as a whole: it learns, it resumes bit for bit, it refuses what differs."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from training_runs import files_in, run_to_end, tiny

from napari_relabel.io.dataset import open_dataset
from napari_relabel.io.errors import InputError
from napari_relabel.io.volume import read_image, read_labels
from napari_relabel.models.checkpoint import load_checkpoint
from napari_relabel.models.preprocess import Normalisation, WorkingGrid, prepare
from napari_relabel.models.resample import resize
from napari_relabel.training.augment import AugmentOptions
from napari_relabel.training.claims import claim
from napari_relabel.training.loop import train


def weights_equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_it_learns_discs_and_the_kept_model_says_what_it_is(discs, tmp_path):
    dataset = open_dataset(discs(12, n_validation=3))
    options = tiny(epochs=10, windows_per_case=2, learning_rate=5e-3, features=8)
    seen, result = run_to_end(train(dataset, options, tmp_path / "run"))
    assert result.dice_mean > 0.9
    assert files_in(result.folder) == {
        ".lock",
        "run.json",
        "last.pt",
        "model.pt",
        "metrics.csv",
        "validation.json",
    }
    steps = [p for p in seen if p.loss is not None]
    assert [p.done for p in steps] == list(range(1, len(steps) + 1))
    assert steps[-1].done == steps[-1].total == 10 * 5
    assert steps[0].epoch == 1 and steps[-1].epoch == 10

    checkpoint, network = load_checkpoint(result.model)
    assert set(checkpoint.training_cases) == {f"c{i}" for i in range(3, 12)}
    assert checkpoint.label_values == (0, 255)
    assert checkpoint.epochs == result.kept_epoch
    # The reported Dice is that of the saved file applied to the original pictures.
    for case_id, (reported,) in result.validation.items():
        image = read_image(dataset.root / "images" / f"{case_id}.png")
        truth = read_labels(dataset.root / "masks" / f"{case_id}.png").indices
        x = prepare(np.moveaxis(image.data, -1, 0), checkpoint.normalisation, checkpoint.working)
        with torch.inference_mode():
            p = torch.sigmoid(network(torch.from_numpy(x)[None]))[0].numpy()
        prediction = resize(p, truth.shape)[0] > 0.5
        expected = 2 * (prediction & (truth > 0)).sum() / (prediction.sum() + truth.sum())
        assert reported == pytest.approx(expected, abs=0.01)


def test_resuming_gives_the_very_bits_of_an_uninterrupted_run(discs, tmp_path):
    dataset = open_dataset(discs(6, n_validation=2))
    options = tiny(
        epochs=3,
        augment=AugmentOptions(
            flip_axes=(0,), rotation_degrees=10, scale=0.2, colour=0.1, noise=0.05
        ),
    )
    _, whole = run_to_end(train(dataset, options, tmp_path / "whole"))

    cancelled = train(dataset, options, tmp_path / "cut")
    for progress in cancelled:
        if progress.epoch == 2 and progress.loss is not None:
            break
    cancelled.close()
    assert len(rows_of(tmp_path / "cut")) == 1
    torch.manual_seed(1234)  # The state of the process must not matter.
    seen, cut = run_to_end(train(dataset, options, tmp_path / "cut"))
    assert next(p for p in seen if p.loss is not None).epoch == 2

    assert [replace(m, seconds=0) for m in cut.history] == [
        replace(m, seconds=0) for m in whole.history
    ]
    assert cut.validation == whole.validation
    one, two = (torch.load(r.folder / "last.pt", weights_only=True) for r in (whole, cut))
    assert weights_equal(one["trainers"][0]["network"], two["trainers"][0]["network"])
    moments = [state["trainers"][0]["optimizer"]["state"] for state in (one, two)]
    assert all(weights_equal(moments[0][k], moments[1][k]) for k in moments[0])
    assert load_checkpoint(cut.model)[0] == load_checkpoint(whole.model)[0]


def rows_of(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_finished_run_is_not_trained_again(discs, tmp_path):
    dataset = open_dataset(discs(4))
    _, first = run_to_end(train(dataset, tiny(), tmp_path / "run"))
    before = first.model.stat().st_mtime_ns
    seen, again = run_to_end(train(dataset, tiny(), tmp_path / "run"))
    assert all(p.loss is None for p in seen)
    assert again.history == first.history
    assert first.model.stat().st_mtime_ns == before


def test_other_seed_other_weights_same_seed_same_weights(discs, tmp_path):
    dataset = open_dataset(discs(4))
    networks = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        _, result = run_to_end(train(dataset, tiny(epochs=1, seed=seed), tmp_path / name))
        networks.append(load_checkpoint(result.model)[1].state_dict())
    assert weights_equal(networks[0], networks[1])
    assert not weights_equal(networks[0], networks[2])


def test_the_callers_random_state_is_left_alone(discs, tmp_path):
    dataset = open_dataset(discs(4))
    torch.manual_seed(7)
    before = torch.get_rng_state()
    run_to_end(train(dataset, tiny(epochs=1), tmp_path / "run"))
    assert torch.equal(torch.get_rng_state(), before)


def test_without_validation_cases_the_last_epoch_is_kept(discs, tmp_path):
    dataset = open_dataset(discs(4))
    _, result = run_to_end(train(dataset, tiny(), tmp_path / "run"))
    assert result.kept_epoch == 2
    assert result.dice_mean is None
    assert result.validation == {}
    assert [row["dice_mean"] for row in rows_of(result.folder)] == ["", ""]


def test_the_best_epoch_is_kept_where_there_is_validation(discs, tmp_path):
    dataset = open_dataset(discs(6, n_validation=2))
    options = tiny(epochs=4, learning_rate=2e-2)
    _, result = run_to_end(train(dataset, options, tmp_path / "run"))
    scores = [metrics.dice_mean for metrics in result.history]
    assert result.kept_epoch == 1 + int(np.argmax(scores))
    _, last = run_to_end(train(dataset, replace(options, keep="last"), tmp_path / "last"))
    assert last.kept_epoch == 4


def test_pictures_of_mixed_sizes(discs, tmp_path):
    shapes = [(40, 40), (33, 57), (64, 20), (32, 32)]
    dataset = open_dataset(discs(4, shape=shapes, n_validation=2))
    _, result = run_to_end(train(dataset, tiny(epochs=1), tmp_path / "run"))
    assert len(result.validation) == 2


def test_volumes_in_windows_on_a_coarser_grid(balls, tmp_path):
    dataset = open_dataset(balls(5))
    options = tiny(
        working=WorkingGrid(spacing_mm=(1.5, 1.5, 2.0), patch=(32, 16, 16)),
        normalisation=Normalisation("percentile", low=1, high=99),
        epochs=7,
        windows_per_case=6,
        loss="dice",
        features=6,
        dropout=0.05,
        batch_size=2,
        learning_rate=1e-2,
        validation_fraction=0.4,
    )
    _, result = run_to_end(train(dataset, options, tmp_path / "run"))
    assert len(result.validation) == 2
    assert result.dice_mean > 0.75
    checkpoint, network = load_checkpoint(result.model)
    assert network.config.spatial_dims == 3
    assert checkpoint.working == options.working
    assert not set(result.validation) & set(checkpoint.training_cases)


def test_classes_keep_their_label_values_and_names(balls, tmp_path):
    dataset = replace(
        open_dataset(balls(3, two_classes=True)), class_names={0: "nothing", 1: "big", 3: "small"}
    )
    options = tiny(
        working=WorkingGrid(patch=(32, 16, 16)),
        epochs=1,
        batch_size=2,
        validation_fraction=0.34,
    )
    _, result = run_to_end(train(dataset, options, tmp_path / "run"))
    checkpoint, network = load_checkpoint(result.model)
    assert network.config.out_channels == 3
    assert checkpoint.label_values == (0, 1, 3)
    assert checkpoint.class_names == {0: "nothing", 1: "big", 2: "small"}
    assert all(len(values) == 2 for values in result.validation.values())


def test_a_run_with_other_options_or_data_is_refused(discs, tmp_path):
    dataset = open_dataset(discs(4))
    run_to_end(train(dataset, tiny(epochs=1), tmp_path / "run"))
    with pytest.raises(InputError, match=r"other options.*learning_rate.*0\.001.*0\.1"):
        run_to_end(train(dataset, tiny(epochs=1, learning_rate=0.1), tmp_path / "run"))
    fewer = replace(dataset, cases=dataset.cases[:3])
    with pytest.raises(InputError, match=r"other training.*c3"):
        run_to_end(train(fewer, tiny(epochs=1), tmp_path / "run"))
    other = open_dataset(discs(4, seed=9, name="other"))
    with pytest.raises(InputError, match=r"other training.*c0"):
        run_to_end(train(other, tiny(epochs=1), tmp_path / "run"))


def test_a_folder_of_other_things_is_refused(discs, tmp_path):
    dataset = open_dataset(discs(4))
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "note.txt").write_text("mine")
    with pytest.raises(InputError, match=r"photos.*empty folder"):
        run_to_end(train(dataset, tiny(), folder))
    assert files_in(folder) == {"note.txt"}


def test_a_diverging_run_says_so(discs, tmp_path):
    dataset = open_dataset(discs(4))
    options = tiny(epochs=8, learning_rate=1e30)
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        run_to_end(train(dataset, options, tmp_path / "run"))


def test_the_record_can_be_read_by_people(discs, tmp_path):
    dataset = open_dataset(discs(4, n_validation=1))
    options = tiny(epochs=1)
    _, result = run_to_end(train(dataset, options, tmp_path / "run"))
    record = json.loads((result.folder / "run.json").read_text())
    assert record["options"]["epochs"] == 1
    assert type(options).from_json(record["options"]) == options
    assert (result.folder / record["dataset"]).resolve() == dataset.root.resolve()
    assert set(record["validation"]) == {"c0"}
    assert set(record["training"]) == {"c1", "c2", "c3"}
    assert "torch" in record["versions"]


def test_one_process_at_a_time_trains_in_a_folder(discs, tmp_path):
    dataset, out = open_dataset(discs(4)), tmp_path / "run"
    with claim(out / ".lock"), pytest.raises(InputError, match=r"run is being trained by another"):
        next(train(dataset, tiny(), out))
    assert files_in(out) == {".lock"}
    run_to_end(train(dataset, tiny(epochs=1), out))
