"""Training behind pipes: what the parent is told, and that its death stops the run."""

import io
import json
import os
import threading
from contextlib import contextmanager

import pytest
from training_runs import tiny

from napari_relabel.io.errors import InputError
from napari_relabel.training.child import Job, main
from napari_relabel.training.lookup import look_at_run, read_metrics


@contextmanager
def orders_for(job):
    """A stream with a job that stays open, and a way to close it as a dying parent would."""
    readable, writable = os.pipe()
    with os.fdopen(readable) as orders, os.fdopen(writable, "w") as parent:
        parent.write(job.to_line())
        parent.flush()
        yield orders, parent.close


class Reports(io.StringIO):
    """Collects reports; calls `when_told` after each."""

    def __init__(self, when_told=lambda told: None):
        super().__init__()
        self.when_told = when_told

    @property
    def told(self):
        return [json.loads(line) for line in self.getvalue().splitlines()]

    def flush(self):
        self.when_told(self.told)


def test_a_job_survives_its_line(tmp_path):
    job = Job(tmp_path / "däta", tiny(epochs=3), tmp_path / "run")
    assert Job.from_line(job.to_line()) == job
    assert job.to_line().count("\n") == 1


def test_progress_then_the_result(discs, tmp_path):
    job = Job(discs(6, n_validation=2), tiny(), tmp_path / "run")
    reports = Reports()
    with orders_for(job) as (orders, _):
        assert main(orders, reports) == 0
    *progress, last = reports.told
    assert all(set(report) == {"progress"} for report in progress)
    assert progress[-1]["progress"]["done"] == progress[-1]["progress"]["total"] > 0
    history = read_metrics(tmp_path / "run")
    assert last == {"result": {"epoch": last["result"]["epoch"], "dice": last["result"]["dice"]}}
    assert last["result"]["dice"] == max(m.dice_mean for m in history)
    run = look_at_run(tmp_path / "run")
    assert run.finished
    assert run.model.exists()
    assert (run.options, run.dataset, run.history) == (job.options, job.dataset, history)


def test_the_end_of_the_parent_stops_the_run_and_the_same_job_goes_on(discs, tmp_path):
    job = Job(discs(6), tiny(epochs=50), tmp_path / "run")
    stopped = threading.Event()
    with orders_for(job) as (orders, close):

        def die(told):
            if told[-1].get("progress", {}).get("epoch", 0) > 2 and not stopped.is_set():
                close()
                stopped.set()

        reports = Reports(die)
        assert main(orders, reports) == 0
    assert reports.told[-1] == {"stopped": True}
    run = look_at_run(tmp_path / "run")
    assert 2 <= len(run.history) < 50
    assert not run.finished

    def die_at_once(told):
        if told[-1].get("progress", {}).get("epoch", 0):
            close()

    with orders_for(job) as (orders, close):
        reports = Reports(die_at_once)
        main(orders, reports)
    first = next(r["progress"] for r in reports.told if r["progress"]["epoch"])
    assert first["epoch"] == len(run.history) + 1


def test_what_is_wrong_comes_as_a_sentence(tmp_path):
    reports = Reports()
    with orders_for(Job(tmp_path / "nowhere", tiny(), tmp_path / "run")) as (orders, _):
        assert main(orders, reports) == 1
    assert "nowhere does not exist" in reports.told[-1]["error"]
    reports = Reports()
    assert main(io.StringIO("no job\n"), reports) == 1
    assert set(reports.told[-1]) == {"error"}


def test_a_folder_without_a_run_is_told_from_a_damaged_one(tmp_path):
    assert look_at_run(tmp_path) is None
    assert look_at_run(tmp_path / "missing") is None
    assert read_metrics(tmp_path) == ()
    (tmp_path / "run.json").write_text('{"format": "something else", "schema": 1}')
    with pytest.raises(InputError, match="choose another folder"):
        look_at_run(tmp_path)
    (tmp_path / "metrics.csv").write_text("epoch,loss\n1,x\n")
    with pytest.raises(InputError, match=r"metrics\.csv is damaged"):
        read_metrics(tmp_path)
