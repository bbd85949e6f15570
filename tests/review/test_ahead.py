"""A case that was made ready ahead is the case that would be read, or it is not used."""

import os
import threading
import weakref
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from review_cases import describe, labels_and_estimate, make_folder

from napari_relabel.core.rules import RuleOptions
from napari_relabel.review import cases
from napari_relabel.review.ahead import Lookahead, neighbour, prepare_case
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.session import ReviewSession


@pytest.fixture
def session(tmp_path):
    made = ReviewSession(make_folder(tmp_path, cases=3), reviewer="ana")
    yield made
    made.close()


def in_a_thread(request):
    found = []
    thread = threading.Thread(target=lambda: found.append(prepare_case(request)))
    thread.start()
    thread.join()
    return found[0]


def everything(session):
    regions = session.snapshot.regions
    image = None if session.image is None else session.image.data
    voxels = regions.voxels.tolist()
    return describe(session), voxels, session.snapshot.open_voxels, image


def assert_same_as_read(session, prepared, monkeypatch):
    """Open a prepared case, with reading forbidden, and compare it with one that is read."""
    with monkeypatch.context() as patch:
        patch.setattr(cases, "prepare_case", None)
        session.open_case(prepared.case_id, prepared)
    assert session.shows(prepared)
    ready = everything(session)
    session.open_case("case0")
    session.open_case(prepared.case_id)
    assert not session.shows(prepared)
    for a, b in zip(ready, everything(session), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_prepared_case_is_opened_without_reading_and_is_the_same(session, monkeypatch):
    session.open_case("case1")
    session.accept()
    session.edit(np.True_, 1, (slice(0, 2),) * 3)
    session.open_case("case0")
    assert_same_as_read(session, in_a_thread(session.request("case1")), monkeypatch)


def test_delta_and_smallest_size_may_change_meanwhile(session, monkeypatch):
    prepared = in_a_thread(session.request("case1"))
    session.set_delta(0.07)
    session.set_min_size(4)
    assert_same_as_read(session, prepared, monkeypatch)
    assert session.delta == 0.07


def changed_labels(folder):
    path = folder.files("case1")[0]
    os.utime(path, ns=(1, 1))


def other_estimate(folder):
    folder.set_estimate("case1", labels_and_estimate(seed=99)[1])


def no_estimate(folder):
    folder.estimate_path("case1").unlink()


@pytest.mark.parametrize("change", [changed_labels, other_estimate, no_estimate])
def test_nothing_stale_is_used_after_a_file_changed(session, change):
    prepared = in_a_thread(session.request("case1"))
    change(session.folder)
    assert not session.is_fresh(prepared)
    session.open_case("case1", prepared)
    assert not session.shows(prepared)
    fresh = session.folder.load_estimate("case1")
    if fresh is None:
        assert session.estimate is None
    else:
        np.testing.assert_array_equal(session.estimate.mean, fresh.mean)


def test_an_image_that_changed_meanwhile_is_refused_as_ever(session):
    prepared = in_a_thread(session.request("case1"))
    path = session.folder.files("case1")[1]
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj) + 1, image.affine), path)
    with pytest.raises(ReviewError, match=r"case1.nii.gz has changed"):
        session.open_case("case1", prepared)
    assert session.case_id == "case0"


def test_nothing_stale_is_used_after_decisions_or_another_rule(session):
    prepared = in_a_thread(session.request("case1"))
    session.open_case("case1")
    session.accept()
    session.open_case("case0")
    assert not session.is_fresh(prepared)
    session.open_case("case1", prepared)
    assert session.decisions.any()
    session.open_case("case0")
    prepared = in_a_thread(session.request("case1"))
    session.set_options(RuleOptions("confident"))
    assert not session.is_fresh(prepared)
    assert not prepared.request.same_rule(session.request("case1"))


def test_a_case_is_never_prepared_as_another(session):
    prepared = in_a_thread(session.request("case1"))
    session.open_case("case2", prepared)
    assert session.case_id == "case2"
    assert not session.shows(prepared)


class Made:
    def __init__(self, case_id):
        self.case_id = case_id


@given(
    st.lists(
        st.tuples(st.sampled_from(["want", "deliver", "take", "drop"]), st.sampled_from("abc"))
    )
)
def test_one_case_is_held_at_most_and_only_the_one_wanted_last(events):
    held, under_way, alive = Lookahead(), [], []
    wanted = None
    for what, name in events:
        if what == "want":
            ticket = held.want(name)
            if ticket is not None:
                under_way.append((ticket, name))
            wanted = name
        elif what == "deliver" and under_way:
            ticket, of = under_way.pop(0)
            made = Made(of)
            alive.append(weakref.ref(made))
            assert held.deliver(ticket, made) == (held.ready is made)
            assert held.ready is None or held.ready.case_id == wanted
            del made
        elif what == "take":
            found = held.take(name)
            assert found is None or found.case_id == name == wanted
            wanted = None
            del found
        elif what == "drop":
            held.drop()
            wanted = None
        assert held.wanted == wanted
        assert sum(ref() is not None for ref in alive) <= 1


def test_a_late_result_of_an_earlier_wish_is_refused():
    held = Lookahead()
    first = held.want("a")
    held.drop()
    second = held.want("a")
    assert not held.deliver(first, Made("a"))
    assert held.deliver(second, Made("a"))
    assert held.want("a") is None


def test_neighbours_end_with_the_order():
    assert neighbour("abc", "b", +1) == "c"
    assert neighbour("abc", "a", -1) is None
    assert neighbour("abc", "x", +1) is None


def test_the_request_tells_the_rule(session):
    request = session.request("case1")
    other = replace(request, resume=replace(request.resume, delta=0.3))
    assert request.same_rule(other)
