"""Relabelling in training as a whole: it corrects what is wrong, leaves what is right, resumes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from imageio import v3 as iio
from training_runs import files_in, run_to_end, tiny

from napari_relabel.core.noise import polygon
from napari_relabel.core.rules import RuleOptions, candidates
from napari_relabel.io.dataset import open_dataset
from napari_relabel.io.errors import InputError
from napari_relabel.models.loading import load_models
from napari_relabel.models.preprocess import WorkingGrid
from napari_relabel.training import judging
from napari_relabel.training.attempts import Attempt, Attempts
from napari_relabel.training.cases import load_cases
from napari_relabel.training.corrections import Relabelling, Reweighting
from napari_relabel.training.flips import read_flips
from napari_relabel.training.judging import Opinion, averaged, judge
from napari_relabel.training.lookup import look_at_run
from napari_relabel.training.loop import train
from napari_relabel.training.masks import write_corrected_masks
from napari_relabel.training.onset import STEADY
from napari_relabel.training.options import TrainOptions
from napari_relabel.training.relabel import Corrector
from napari_relabel.training.trainer import Trainer


@pytest.fixture
def wrong_discs(discs, tmp_path):
    """Pictures of discs whose masks are triangles, with the true masks in the manifest."""

    def make(n=10, n_validation=2, vertices=3, **kwargs):
        root = discs(n, n_validation=n_validation, **kwargs)
        (root / "noisy").mkdir()
        rows = ["id,image,labels,clean,split"]
        for i in range(n):
            mask = iio.imread(root / "masks" / f"c{i}.png")
            wrong = polygon(mask, vertices) if vertices else mask
            iio.imwrite(root / "noisy" / f"c{i}.png", wrong)
            split = "val" if i < n_validation else "train"
            rows.append(f"c{i},images/c{i}.png,noisy/c{i}.png,masks/c{i}.png,{split}")
        path = root / "manifest.csv"
        path.write_text("\n".join(rows) + "\n")
        return open_dataset(path)

    return make


def learning(**changes):
    """Options with which a tiny network learns discs within a few epochs."""
    values = {
        "epochs": 6,
        "windows_per_case": 4,
        "features": 8,
        "learning_rate": 5e-3,
        "correction": Relabelling(start=2),
        **changes,
    }
    return tiny(**values)


def test_wrong_masks_are_corrected_and_right_ones_are_not(wrong_discs, tmp_path):
    options = learning(correction=Relabelling())
    _, result = run_to_end(train(wrong_discs(12), options, tmp_path / "run"))
    first, last = result.history[0], result.history[-1]
    assert first.label_change == 0
    assert first.label_dice < 0.7
    assert last.label_dice > first.label_dice + 0.15
    assert last.label_change > 0
    # It began when two epochs agreed, and not before.
    begun = next(m.epoch for m in result.history if m.label_change) - 1
    steadiness = [m.steadiness for m in result.history[:begun]]
    assert steadiness[-1] >= STEADY
    assert all(value < STEADY for value in steadiness[:-1])
    assert result.history[begun].steadiness is None
    # Compared with clean masks the network is better than with the given ones.
    assert last.dice_mean > last.dice_given

    _, result = run_to_end(
        train(wrong_discs(12, vertices=None, name="right"), options, tmp_path / "right-run")
    )
    assert result.history[-1].label_change == 0
    assert result.history[-1].label_dice == 1


def test_labels_are_made_from_the_given_ones_and_recorded(wrong_discs, tmp_path):
    dataset = wrong_discs()
    options = learning(correction=Relabelling(rule="gated", delta=0.0, start=2), epochs=4)
    _, result = run_to_end(train(dataset, options, tmp_path / "run"))
    assert files_in(result.folder / "flips") == {"epoch-002.npz", "epoch-003.npz"}
    assert {"measures.csv", "flips"} < files_in(result.folder)
    _, cases = run_to_end(load_cases(dataset, options))
    given = {case.paths.id: case.given for case in cases.train}
    record = read_flips(result.folder / "flips" / "epoch-003.npz", given)
    assert record.why["rule"] == "gated"
    assert record.why["start"] == 2
    changed = np.mean([np.mean(record.labels.get(k, v) != v) for k, v in given.items()])
    assert result.history[-1].label_change == pytest.approx(changed)
    assert look_at_run(result.folder).history == result.history


@pytest.mark.parametrize("method", ["mcdo", "tta", "ensemble"])
@pytest.mark.parametrize("rule", ["evidence", "uncertainty", "gated", "confident", "conditional"])
def test_every_sampler_with_every_rule(wrong_discs, tmp_path, method, rule):
    how = Relabelling(method=method, n_samples=2, rule=rule, start=1)
    options = tiny(correction=how)
    _, result = run_to_end(train(wrong_discs(6, 2), options, tmp_path / "run"))
    assert (result.folder / "flips" / "epoch-001.npz").exists()
    assert len(load_models(result.model)) == (2 if method == "ensemble" else 1)
    assert result.history[-1].uncertainty is not None


@pytest.mark.parametrize(
    "how",
    [
        Relabelling(n_samples=2),
        Relabelling(start=1, method="ensemble", n_samples=2),
        Relabelling(trusted=("c2", "c3", "c4"), n_samples=2),
        Reweighting(trusted=("c2", "c3")),
    ],
    ids=["mcdo", "ensemble", "trusted", "reweight"],
)
def test_killed_and_resumed_is_as_never_interrupted(wrong_discs, tmp_path, how):
    dataset = wrong_discs()
    options = learning(epochs=4, windows_per_case=2, correction=how)
    _, whole = run_to_end(train(dataset, options, tmp_path / "whole"))
    messages, _ = run_to_end(train(dataset, replace(options, seed=0), tmp_path / "count"))
    # Cut in the middle of a step, of judging, and right after an epoch.
    for number in (len(messages) // 3, len(messages) // 2, len(messages) - 3):
        cut = train(dataset, options, tmp_path / f"cut{number}")
        for _ in range(number):
            next(cut)
        cut.close()
        torch.manual_seed(number)
        _, again = run_to_end(train(dataset, options, tmp_path / f"cut{number}"))
        assert again.validation == whole.validation
        timeless = [replace(m, seconds=0, correcting_seconds=0) for m in again.history]
        assert timeless == [replace(m, seconds=0, correcting_seconds=0) for m in whole.history]
        one, two = (
            torch.load(r.folder / "last.pt", weights_only=True)["trainers"] for r in (whole, again)
        )
        for a, b in zip(one, two, strict=True):
            assert all(torch.equal(a["network"][k], b["network"][k]) for k in a["network"])


def test_trusted_cases_are_taught_as_they_should_be(wrong_discs, tmp_path):
    dataset = wrong_discs()
    how = Relabelling(trusted=("c4", "c7"))
    _, cases = run_to_end(load_cases(dataset, learning(correction=how)))
    corrector = Corrector(cases, learning(correction=how), how)
    for case, taught in zip(cases.train, corrector.taught, strict=True):
        wanted = case.clean if case.paths.id in how.trusted else case.given
        np.testing.assert_array_equal(taught, wanted)
    _, result = run_to_end(train(dataset, learning(correction=how, epochs=8), tmp_path / "run"))
    assert result.history[-1].label_dice > result.history[0].label_dice + 0.1


def test_trusted_cases_keep_right_masks_as_they_are(wrong_discs, tmp_path):
    dataset = wrong_discs(10, vertices=None)
    how = Relabelling(trusted=("c4", "c5", "c6", "c7"))
    _, result = run_to_end(train(dataset, learning(correction=how), tmp_path / "run"))
    assert result.history[-1].label_dice == 1


def test_trusted_cases_need_clean_masks(discs, wrong_discs, tmp_path):
    for how in (Relabelling(trusted=("c3", "c4")), Reweighting(trusted=("c3",))):
        with pytest.raises(InputError, match=r"no clean mask for c3"):
            run_to_end(
                train(
                    open_dataset(discs(6, name=type(how).__name__)),
                    tiny(correction=how),
                    tmp_path / "run",
                )
            )
    with pytest.raises(InputError, match=r"no training case for c0, x"):
        how = Relabelling(trusted=("c0", "x"))
        run_to_end(train(wrong_discs(), tiny(correction=how), tmp_path / "run"))


def test_a_case_that_would_change_too_much_keeps_its_labels(wrong_discs, tmp_path):
    how = Relabelling(rule="uncertainty", delta=0.0, start=1, max_fraction=0.5)
    _, result = run_to_end(train(wrong_discs(), tiny(correction=how), tmp_path / "run"))
    # Every voxel has some uncertainty, so the paper's rule would flip all of them.
    assert result.history[-1].label_change == 0


def test_what_was_corrected_is_not_given_up_for_nothing(wrong_discs, monkeypatch):
    """Where images say less of a later correction, the labels of the earlier one stay."""
    options = tiny(correction=Relabelling(start=1))
    _, cases = run_to_end(load_cases(wrong_discs(4, 0), options))
    corrector = Corrector(cases, options, options.correction)
    found = [case.given.copy() for case in cases.train]
    found[2][:3] = 1
    attempts = [(found, {"0 to 1": []}), ([case.given for case in cases.train], {})]

    def attempt(self, opinions):
        yield 1
        labels, levels = attempts.pop(0)
        return Attempt(labels, {"levels": levels})

    monkeypatch.setattr(Attempts, "as_asked", attempt)
    networks = [Trainer(cases, options).network]
    for epoch in (1, 2):
        _, relabelled = run_to_end(corrector.after_epoch(networks, epoch))
        assert relabelled.attempted == (epoch == 1)
        for taught, labels in zip(corrector.taught, found, strict=True):
            np.testing.assert_array_equal(taught, labels)


@pytest.mark.parametrize("resumed", [False, True])
def test_correcting_begins_when_two_epochs_agree(wrong_discs, monkeypatch, resumed):
    options = tiny(correction=Relabelling())
    _, cases = run_to_end(load_cases(wrong_discs(4, 0), options))
    given = [case.given for case in cases.train]

    def changed(rows):
        new = [labels.copy() for labels in given]
        for labels in new:
            labels[rows] = 1 - labels[rows]
        return new

    # Dice of the changes with those of the epoch before: 0, 0, 0.5, 1.
    attempts = [given, changed(slice(0, 8)), changed(slice(4, 12)), changed(slice(4, 12))]
    monkeypatch.setattr(Attempts, "as_asked", lambda *_: _attempt(attempts.pop(0)))
    networks = [Trainer(cases, options).network]
    corrector = Corrector(cases, options, options.correction)
    for epoch, agreement in ((1, 0), (2, 0), (3, 0.5), (4, 1)):
        if resumed:
            state = corrector.state_dict()
            corrector = Corrector(cases, options, options.correction)
            corrector.load_state_dict(state, {})
        _, relabelled = run_to_end(corrector.after_epoch(networks, epoch))
        assert relabelled.why["steadiness"] == agreement
        assert relabelled.attempted == (epoch == 4)
        assert corrector.start == (4 if epoch == 4 else None)
        assert len(relabelled.opinions) == len(given)
        wanted = changed(slice(4, 12)) if epoch == 4 else given
        for taught, labels in zip(corrector.taught, wanted, strict=True):
            np.testing.assert_array_equal(taught, labels)


def _attempt(labels):
    yield 1
    return Attempt(labels, {})


def test_judging_is_what_the_rules_expect(wrong_discs):
    dataset = wrong_discs(4, 0)
    options = tiny()
    _, cases = run_to_end(load_cases(dataset, options))
    network = Trainer(cases, options).network
    seen, opinions = run_to_end(judge([network], cases.train, options, "mcdo", 8, 1))
    assert seen[-1] == 4
    for case, opinion in zip(cases.train, opinions, strict=True):
        estimate = opinion.estimate()
        assert estimate.shape == case.given.shape
        np.testing.assert_allclose(estimate.mean.sum(axis=0), 1, atol=1e-5)
        assert opinion.total == pytest.approx(float(estimate.uncertainty().mean()), abs=1e-5)
        assert estimate.uncertainty("epistemic").max() > 0
        candidates(case.given, estimate, RuleOptions("confident"))
    _, again = run_to_end(judge([network], cases.train, options, "mcdo", 8, 1))
    np.testing.assert_array_equal(again[0].mean, opinions[0].mean)
    _, other = run_to_end(judge([network], cases.train, options, "mcdo", 8, 2))
    assert not np.array_equal(other[0].mean, opinions[0].mean)


def test_opinions_are_averaged_over_epochs():
    rng = np.random.default_rng(0)
    maps = rng.random((3, 1, 6, 5)).astype(np.float16)
    means = None
    for p in maps:
        (opinion,) = averaged((Opinion(p, p[0], "mcdo", 5),), means)
        means = [opinion.mean]
    np.testing.assert_allclose(opinion.mean, maps[0] / 4 + maps[1] / 4 + maps[2] / 2, atol=2e-3)
    np.testing.assert_array_equal(opinion.variance, maps[2][0])


@pytest.mark.parametrize(("tolerated", "as_float32"), [(0.01, False), (0.0, True)])
def test_bfloat16_is_used_only_while_it_agrees_with_float32(
    wrong_discs, monkeypatch, tolerated, as_float32
):
    monkeypatch.setattr(judging, "_BFLOAT16_ERROR", tolerated)
    options = tiny(bfloat16=True)
    _, cases = run_to_end(load_cases(wrong_discs(4, 0), options))
    network = Trainer(cases, options).network
    half, full = (
        run_to_end(judge([network], cases.train, how, "mcdo", 4, 1))[1]
        for how in (options, replace(options, bfloat16=False))
    )
    for a, b in zip(half, full, strict=True):
        assert np.array_equal(a.mean, b.mean) == as_float32
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=0.05)


def test_volumes_are_relabelled_too(balls, tmp_path):
    dataset = open_dataset(balls(3))
    options = tiny(
        working=WorkingGrid(spacing_mm=(1.5, 1.5, 2.0), patch=(32, 16, 16)),
        windows_per_case=2,
        batch_size=2,
        correction=Relabelling(start=1, n_samples=2),
    )
    _, result = run_to_end(train(dataset, options, tmp_path / "run"))
    assert (result.folder / "flips" / "epoch-001.npz").exists()


def test_corrected_masks_are_written_on_the_grid_of_the_file(wrong_discs, tmp_path):
    dataset = wrong_discs(12)
    options = learning()
    _, result = run_to_end(train(dataset, options, tmp_path / "run"))
    _, report = run_to_end(
        write_corrected_masks(dataset, options, tmp_path / "run", tmp_path / "masks")
    )
    assert report.written == 10
    assert report.changed > 0
    before, after = [], []
    for case in dataset.cases:
        if case.split != "train":
            continue
        given, clean, new = (
            iio.imread(path) > 0
            for path in (case.labels, case.clean, tmp_path / "masks" / case.labels.name)
        )
        before.append(2 * (given & clean).sum() / (given.sum() + clean.sum()))
        after.append(2 * (new & clean).sum() / (new.sum() + clean.sum()))
    assert np.mean(after) > np.mean(before) + 0.15
    # The files' Dice is that of the labels that were taught, up to the resampling.
    record = options.correction
    assert isinstance(record, Relabelling)
    assert np.mean(after) == pytest.approx(result.history[-1].label_dice, abs=0.04)


def test_options_survive_json_and_bad_ones_are_named():
    for how in (None, Relabelling(trusted=("a", "b"), start=3, rule="gated"), Reweighting(("a",))):
        options = tiny(correction=how)
        assert TrainOptions.from_json(options.to_json()) == options
    with pytest.raises(ValueError, match="takes no delta"):
        Relabelling(delta=0.5)
    with pytest.raises(ValueError, match="epoch from 1"):
        Relabelling(start=0)
    with pytest.raises(ValueError, match="at least 2"):
        Relabelling(trusted=("a",))
    with pytest.raises(ValueError, match="at least one"):
        Reweighting()
    with pytest.raises(ValueError, match="without dropout"):
        tiny(dropout=0.0, correction=Relabelling())
    with pytest.raises(ValueError, match="unknown options of relabel: colour"):
        TrainOptions.from_json(
            {**tiny().to_json(), "correction": {"correction": "relabel", "colour": 1}}
        )
