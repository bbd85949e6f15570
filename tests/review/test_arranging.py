"""The list of cases against plain sorting and filtering, whatever the cases are."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_relabel.review.arranging import (
    COLUMNS,
    FILTERS,
    SCORES,
    Arrangement,
    CaseOrder,
    sorted_ids,
)
from napari_relabel.review.casenotes import CaseNote
from napari_relabel.review.queue import CaseStatus, Gain

NUMBERS = st.floats(0, 1e6)
GAINS = st.none() | st.builds(Gain, st.none() | NUMBERS, NUMBERS, NUMBERS, NUMBERS)
COUNTS = st.none() | st.integers(0, 9)
NOTES = st.builds(CaseNote, NUMBERS, COUNTS, st.none() | NUMBERS, COUNTS)
STATUS = st.sampled_from(["new", "open", "approved"])


@st.composite
def case_lists(draw):
    ids = draw(st.lists(st.text("ab19 ", min_size=1, max_size=4), unique=True, max_size=12))
    return [
        CaseStatus(i, draw(STATUS), gain=draw(GAINS), flagged=draw(st.booleans()), note=draw(NOTES))
        for i in ids
    ]


def case(name, status="new", wrong=None, **more):
    gain = None if wrong is None else Gain(wrong, wrong / 10, wrong / 5, 1 / (1 + wrong))
    return CaseStatus(name, status, gain=gain, **more)


def order_of(*cases, **arrangement):
    by_id = {c.case_id: c for c in cases}

    def queue():
        return tuple(by_id.values())

    return CaseOrder(queue, by_id.__getitem__, Arrangement(**arrangement)), by_id


@given(case_lists(), st.sampled_from([None, *COLUMNS]), st.booleans(), st.sampled_from(SCORES))
def test_every_case_has_one_place_and_cases_without_a_value_come_last(
    cases, column, descending, score
):
    values = {
        None: lambda c: 0,
        "status": lambda c: (["new", "open", "approved"].index(c.status), c.flagged),
        "score": lambda c: None if c.gain is None else getattr(c.gain, score),
        "open": lambda c: c.note.proposals,
        "changed": lambda c: c.note.changed,
        "ml": lambda c: c.note.changed_ml,
        "reviewer": lambda c: None,
        "time": lambda c: c.note.seconds or None,
    }
    ids = sorted_ids(cases, {}, Arrangement(column, descending, score))
    assert sorted(ids) == sorted(c.case_id for c in cases)
    if column == "case":
        return
    found = [values[column](next(c for c in cases if c.case_id == i)) for i in ids]
    known = [v for v in found if v is not None]
    assert found == known + [None] * (len(found) - len(known))
    steps = list(pairwise(known))
    assert all(a >= b if descending and column else a <= b for a, b in steps)
    # Equal ones stay in the order of the folder.
    place = {c.case_id: n for n, c in enumerate(cases)}
    for a, b in pairwise(ids):
        pair = [values[column](next(c for c in cases if c.case_id == i)) for i in (a, b)]
        if pair[0] == pair[1]:
            assert place[a] < place[b]


@given(case_lists().filter(len), st.sampled_from(FILTERS), st.text("aB1", max_size=2), st.data())
def test_the_open_case_is_listed_and_others_by_filter_and_search(cases, show, search, data):
    current = data.draw(st.sampled_from(cases)).case_id
    order, _ = order_of(*cases, show=show, search=search)
    let_through = {
        "all": lambda c: True,
        "undecided": lambda c: c.status in ("new", "open"),
        "flagged": lambda c: c.flagged,
        "unestimated": lambda c: c.gain is None,
    }.get(show, lambda c: c.status == show)
    assert order.listed(current) == tuple(
        c.case_id
        for c in cases
        if c.case_id == current or (let_through(c) and search.lower() in c.case_id.lower())
    )


@given(case_lists().filter(len), st.sampled_from(COLUMNS), st.sampled_from(FILTERS))
def test_going_forth_visits_the_list_in_order_and_back_returns(cases, column, show):
    order, _ = order_of(*cases, column=column, show=show)
    at = next(iter(order.listed("")), cases[0].case_id)
    way = [at]
    while (following := order.step(way[-1], +1)) is not None:
        assert order.step(following, -1) in (way[-1], *way)
        way.append(following)
    assert len(set(way)) == len(way)
    assert set(order.listed("")) <= set(way)


def test_names_are_sorted_as_people_count():
    order, _ = order_of(case("case10"), case("Case9"), case("case1"), column="case")
    assert order.all_ids == ("case1", "Case9", "case10")


def test_decisions_leave_the_places_until_cases_are_sorted_anew():
    order, cases = order_of(
        case("a", note=CaseNote(proposals=5)),
        case("b", note=CaseNote(proposals=9)),
        case("c", note=CaseNote(proposals=7)),
        column="open",
        descending=True,
    )
    assert order.all_ids == ("b", "c", "a")
    cases["b"] = case("b", "approved", note=CaseNote(proposals=0))
    assert order.update("b")
    assert not order.update("b")
    assert order.step("b", +1) == "c"
    assert order.step("c", -1) == "b"
    assert order.step("c", -1, undecided=True) is None
    assert (order.counts["new"], order.counts["approved"]) == (2, 1)
    order.update_all()
    assert order.all_ids == ("c", "a", "b")


def test_the_next_case_to_do_is_found_going_round_once():
    cases = [case("a"), case("b", "approved"), case("c", "approved"), case("d", "open")]
    order, by_id = order_of(*cases)
    assert order.undecided_after("a") == "d"
    assert order.undecided_after("d") == "a"
    assert order.step("a", +1, undecided=True) == "d"
    for name in "ad":
        by_id[name] = case(name, "approved")
        order.update(name)
    assert order.undecided_after("b") is None


def test_the_estimates_needed_first_are_those_that_the_reviewer_comes_to_next():
    order, _ = order_of(
        case("a"), case("b", "approved"), case("c", wrong=3), case("d"), case("e"), search="d"
    )
    assert order.unestimated("e") == ("e", "d", "a", "b")
    order.rearrange(Arrangement())
    assert order.unestimated("d") == ("d", "e", "a", "b")


def test_clicking_a_column_twice_turns_it_round():
    once = Arrangement().by("score")
    assert (once.column, once.descending) == ("score", True)
    assert not once.by("score").descending
    assert not once.by("case").descending


@pytest.mark.parametrize(
    "value", [{"column": "size"}, {"show": "some"}, {"score": "min"}, {"colour": 1}]
)
def test_what_another_version_remembered_does_no_harm(value):
    assert Arrangement.from_json(value) == Arrangement()


def test_a_search_is_not_remembered_and_the_rest_is():
    kept = Arrangement("ml", True, "top", "flagged", "liver")
    assert Arrangement.from_json(kept.to_json()) == Arrangement("ml", True, "top", "flagged")
