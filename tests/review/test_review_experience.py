"""Expecting what open proposals are worth: which decisions count, and what is accepted by that."""

import numpy as np
import pytest
from review_cases import many_blobs

from napari_relabel.core.expected import expected_right
from napari_relabel.core.rules import RuleOptions
from napari_relabel.review.decide import decide
from napari_relabel.review.experience import FEWEST
from napari_relabel.review.session import ReviewSession


@pytest.fixture
def folder(tmp_path):
    return many_blobs(tmp_path)


def decide_by_score(session, cases, least=0.8):
    """Go through cases, accept what scores above `least`, reject the rest; what was decided."""
    seen = []
    for case in cases:
        session.open_case(case)
        while (region := session.current) is not None:
            right = region.mean_score > least
            (session.accept if right else session.reject)()
            seen.append((region.mean_score, right))
    return np.array([s for s, _ in seen]), np.array([r for _, r in seen])


def test_nothing_is_expected_before_ten_decisions(folder):
    session = ReviewSession(folder, reviewer="ada")
    for _ in range(FEWEST):
        assert session.expected() is None
        assert session.accept_surest() is None
        session.accept()
    assert session.expected().decisions == FEWEST


def test_decisions_of_all_cases_count_and_survive(folder):
    session = ReviewSession(folder, reviewer="ada")
    scores, right = decide_by_score(session, ["case0", "case1"])
    session.open_case("case2")
    wanted = session.snapshot.regions.mean_score
    found = session.expected()
    assert found == expected_right(scores.round(6), right, wanted)
    session.close()
    assert ReviewSession(folder, reviewer="ada").expected() == found
    assert ReviewSession(folder, reviewer="bob", case_id="case2").expected() is None


def test_what_is_undone_or_in_bulk_or_by_another_score_says_nothing(folder):
    session = ReviewSession(folder, reviewer="ada")
    decide_by_score(session, ["case0"])
    before = _expected_in(session, "case1")
    session.reject()
    after = session.expected()
    assert after.decisions == before.decisions + 1
    session.undo()
    assert session.expected() == before
    session.redo()
    assert session.expected() == after
    session.undo()
    session.accept_where(np.True_, tuple(slice(0, n // 2) for n in session.given.shape))
    session.undo()
    session.lock()
    session.undo()
    assert session.expected() == before
    session.set_options(RuleOptions(rule="gated", kind="epistemic"))
    session.set_options(RuleOptions(rule="uncertainty"))
    session.set_delta(0.01)
    assert session.snapshot.open_regions
    assert session.expected() is None


def test_decisions_without_a_person_say_nothing(folder):
    decide(folder, reviewer="ada")
    session = ReviewSession(folder, reviewer="ada")
    session.undo()
    assert session.snapshot.open_regions
    assert session.expected() is None


def test_the_surest_are_accepted_as_one_action(folder):
    session = ReviewSession(folder, reviewer="ada")
    decide_by_score(session, ["case0", "case1"])
    session.open_case("case2")
    regions = session.snapshot.regions
    sure = regions.mean_score > 0.8
    assert sure.any()
    assert not sure.all()
    # At 0.8 the decisions turn from wrong to right: half of what lies between is taken.
    found = session.accept_surest(1.0)
    assert found.share == 1
    accepted = np.unique(regions.components[session.decisions == 1])
    assert set(accepted) <= {region.id for region in regions if region.mean_score > 0.78}
    assert found.proposals == len(accepted)
    assert session.snapshot.open_regions == len(regions) - len(accepted)
    assert session.accept_surest(1.0) is None
    session.undo()
    assert session.snapshot.open_regions == len(regions)
    # A lower aim takes more.
    assert session.accept_surest(0.6).proposals > found.proposals


def _expected_in(session, case):
    session.open_case(case)
    return session.expected()
