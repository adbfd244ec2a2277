"""A time budget on a clock of the test's own: what is left, shares of it, and when a busy worker is ended."""

from __future__ import annotations

import math
from dataclasses import replace

from gradparity.processes.deadline import SHARES, UNLIMITED, USUAL_S, Deadline, budget_of, waited_s
from tests.conftest import Clock


def test_what_is_left_goes_down_and_below_zero(clock: Clock) -> None:
    deadline = Deadline(1060.0, clock=clock)
    assert deadline.left_s() == 60
    clock.now_s = 1059.5
    assert not deadline.passed()
    clock.now_s = 1060.0
    assert deadline.passed()
    clock.now_s = 1070.0
    assert deadline.left_s() == -10


def test_a_share_is_of_what_is_left_and_what_an_early_part_leaves_over_is_shared_by_those_that_follow(
    clock: Clock,
) -> None:
    deadline = Deadline(1060.0, clock=clock)
    assert deadline.share(3).left_s() == 20
    for passed_s, parts, left_s in ((4, 2, 28), (28, 1, 28), (29, 4, -0.25)):  # the last share has passed too
        clock.now_s += passed_s
        assert deadline.share(parts).left_s() == left_s


def test_a_busy_worker_has_the_grace_beyond_the_deadline(clock: Clock) -> None:
    deadline = Deadline(1060.0, grace_s=3.0, clock=clock)
    clock.now_s = 1061.0
    assert deadline.passed()
    assert deadline.hard().left_s() == 2
    assert deadline.share(2).grace_s == 3  # a part's is the whole's, so that it is the same for every cell


def test_without_a_budget_nothing_ever_passes() -> None:
    assert budget_of(None) is UNLIMITED
    for deadline in (UNLIMITED, UNLIMITED.share(7), UNLIMITED.hard()):
        assert deadline.left_s() == math.inf
        assert not deadline.passed()


def test_a_budget_starts_now_and_is_exceeded_by_a_tenth_at_most() -> None:
    deadline = budget_of(60.0)
    assert 59 < deadline.left_s() <= 60
    assert 59 < deadline.hard().left_s() <= 66
    assert deadline.hard().at > deadline.at


def test_a_stage_has_its_share_of_the_whole_budget_and_never_more_than_is_left(clock: Clock) -> None:
    deadline = replace(budget_of(60.0, clock.now_s), clock=clock)
    assert deadline.stage_s("truth") == SHARES["truth"] * 60
    clock.now_s += 50  # what others have taken is no reason to give a stage less than is there
    assert deadline.stage_s("truth") == 10
    clock.now_s += 20
    assert deadline.stage_s("truth") == 0


def test_where_no_budget_is_given_stages_have_shares_of_what_is_usual() -> None:
    for stage, share in SHARES.items():
        assert UNLIMITED.stage_s(stage) == share * USUAL_S


def test_of_several_problems_each_has_shares_of_its_own_part(clock: Clock) -> None:
    whole = replace(budget_of(60.0, clock.now_s), clock=clock)
    assert whole.share(4).stage_s("truth") == SHARES["truth"] * 15


def test_a_process_is_waited_for_a_little_longer_than_it_was_told_to_take() -> None:
    assert waited_s(30.0) == 33
    assert waited_s(1.0) == 2
