import math
from dataclasses import replace
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradparity.benchmark.profiles import PROFILES
from gradparity.benchmark.protocol import Block
from gradparity.benchmark.rounds import PairValue, Round, median_error, pair_value, pair_values
from gradparity.benchmark.stats import (
    Comparison,
    MedianInterval,
    compare,
    control,
    median_interval,
    pairs_needed,
    t_quantile,
    verdict,
)

MS = 1_000_000
STANDARD, QUICK = PROFILES["standard"], PROFILES["quick"]


def block(wall_ms: float, *, inner: int = 1, cpu_share: float = 1.0, stolen_ms: float | None = 0) -> Block:
    wall_ns = round(wall_ms * MS)
    stolen_ns = None if stolen_ms is None else round(stolen_ms * MS)
    return Block(wall_ns, round(cpu_share * wall_ns), inner, 0, 0, stolen_ns)


def a_round(a1: Block, b1: Block, b2: Block, a2: Block, *, pair: int = 0, index: int = 0) -> Round:
    return Round(pair, index, (a1, a2), (b1, b2))


def rounds_with(log_ratios: list[float], *, pair: int = 0, disturbed: int = 0) -> list[Round]:
    rounds = []
    for index, value in enumerate(log_ratios):
        a, b = block(1000 * math.exp(value)), block(1000)
        if index < disturbed:
            a = replace(a, cpu_ns=a.wall_ns // 2)
        rounds.append(a_round(a, b, b, a, pair=pair, index=index))
    return rounds


def pairs_with(log_ratios: list[float]) -> list[PairValue]:
    return [PairValue(pair, value, 0.01, 8, 0) for pair, value in enumerate(log_ratios)]


# --- rounds ----------------------------------------------------------------------------------------------------------


def test_a_round_is_half_the_log_of_the_products() -> None:
    # 40, 90 ms against 30, 30 ms: 1/2 log(3600 / 900) = log 2, whatever the numbers of calls in a block.
    a = a_round(block(40), block(30), block(30), block(90))
    assert a.log_ratio == pytest.approx(math.log(2))
    b = a_round(block(40, inner=10), block(300, inner=100), block(300, inner=100), block(90, inner=10))
    assert b.log_ratio == pytest.approx(math.log(2))


@given(drift=st.floats(-0.2, 0.2), ratio=st.floats(0.1, 10.0))
def test_drift_that_is_linear_over_a_round_cancels(drift: float, ratio: float) -> None:
    times = [500 * math.exp(drift * position) for position in range(4)]
    a_b_b_a = a_round(block(times[0] * ratio), block(times[1]), block(times[2]), block(times[3] * ratio))
    assert a_b_b_a.log_ratio == pytest.approx(math.log(ratio), abs=1e-6)


@pytest.mark.parametrize(
    "odd, disturbed",
    [
        (block(50), False),
        (block(50, cpu_share=0.86), False),
        (block(50, cpu_share=0.84), True),
        (block(50, cpu_share=1.9), False),
        (block(50, stolen_ms=None), False),
        # Ticks of 10 ms: one may have begun before the round did, so only what exceeds one counts.
        (block(50, stolen_ms=10), False),
        (block(50, stolen_ms=19), False),
        (block(50, stolen_ms=21), True),
    ],
)
def test_one_disturbed_block_spoils_its_round(odd: Block, disturbed: bool) -> None:
    for position in range(4):
        blocks = [block(50)] * 4
        blocks[position] = odd
        assert a_round(*blocks).disturbed is disturbed


def test_a_disturbed_block_is_laid_to_whose_it_is() -> None:
    calm, lost = block(50), block(50, cpu_share=0.5)
    for blocks, who in (((lost, calm, calm, calm), (True, False)), ((calm, calm, lost, calm), (False, True))):
        found = a_round(*blocks)
        assert (found.reference_disturbed, found.challenger_disturbed, found.disturbed) == (*who, True)
    stolen = a_round(calm, block(50, stolen_ms=21), calm, calm)  # ticks are too coarse to tell in whose block
    assert stolen.reference_disturbed
    assert stolen.challenger_disturbed


# A program's block of 50 ms: CPU time of it and of who asks, and how long they were ready while others ran.
@pytest.mark.parametrize(
    ("cpu_ms", "waited_ms", "disturbed"),
    [
        (30, 0, False),  # they wait for each other, each for the other's core to wake up
        (49, 20, False),  # on one core, each while the other runs
        (30, 20, True),  # while somebody else ran
        (42, 20, True),
        (43, 20, False),
        (90, 60, False),  # several threads of the program
        (None, None, False),  # not known, and not claimed
    ],
)
def test_a_program_is_disturbed_where_it_was_ready_and_nobody_of_both_ran(
    cpu_ms: int | None, waited_ms: int | None, disturbed: bool
) -> None:
    cpu_ns, waited_ns = (None if ms is None else ms * MS for ms in (cpu_ms, waited_ms))
    found = a_round(block(50), replace(block(50), cpu_ns=cpu_ns, waited_ns=waited_ns), block(50), block(50))
    assert (found.challenger_disturbed, found.reference_disturbed) == (disturbed, False)


# --- pairs -----------------------------------------------------------------------------------------------------------


def test_a_pair_is_the_median_of_its_undisturbed_rounds() -> None:
    value = pair_value(rounds_with([9.0, 0.1, 0.2, 0.4], pair=3, disturbed=1))
    assert (value.pair, value.rounds, value.discarded) == (3, 4, 1)
    assert value.log_ratio == pytest.approx(0.2)


def test_a_pair_without_an_undisturbed_round_has_no_value() -> None:
    assert pair_value(rounds_with([0.1, 0.2], disturbed=2)) == PairValue(0, None, None, 2, 2)
    assert pair_value(rounds_with([0.1, 0.2], disturbed=1)).standard_error is None


def test_the_error_of_a_median_comes_from_its_neighbours_in_rank() -> None:
    # n = 8: c = 4.5 - 1.96 sqrt(2) = 1.73, so ranks 2 and 7; n = 20: c = 10.5 - 4.38 = 6.12, so ranks 6 and 15.
    assert median_error([0, 1, 2, 3, 4, 5, 6, 99]) == pytest.approx((6 - 1) / 3.92)
    assert median_error(list(range(1, 21))) == pytest.approx((15 - 6) / 3.92)
    assert median_error([-1.0, 0.0, 1.0]) == pytest.approx(math.sqrt(math.pi / 6))
    assert median_error([1.0]) is None


# --- how many pairs --------------------------------------------------------------------------------------------------


def test_students_t_is_that_of_the_printed_table() -> None:
    table = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 7: 2.365, 9: 2.262, 14: 2.145, 29: 2.045}
    assert {df: round(t_quantile(df), 3) for df in table} == table


def test_five_pairs_come_first() -> None:
    assert [pairs_needed(pairs_with([0.0] * n), STANDARD) for n in (0, 1, 4, 5)] == [5, 5, 5, 5]


def test_the_scatter_of_the_first_five_pairs_says_how_many_are_needed() -> None:
    # -2, -1, 0, 1, 2 times 4%: s0 = 4% sqrt(2.5) = 6.32%; (2.776 * 6.32 / 5)^2 = 12.33, so 13.
    first = pairs_with([-0.08, -0.04, 0.0, 0.04, 0.08])
    assert pairs_needed(first, STANDARD) == 13
    assert pairs_needed([*first, *pairs_with([0.5, -0.5])], STANDARD) == 13
    assert pairs_needed(pairs_with([-0.02, -0.01, 0.0, 0.01, 0.02]), STANDARD) == 5
    assert pairs_needed(pairs_with([-0.8, -0.4, 0.0, 0.4, 0.8]), STANDARD) == 15


@given(values=st.lists(st.floats(-1, 1), min_size=5, max_size=15), shift=st.floats(-3, 3))
def test_the_number_of_pairs_does_not_depend_on_who_is_faster(values: list[float], shift: float) -> None:
    def asked(move: float) -> int:
        return pairs_needed(pairs_with([round(value, 6) + move for value in values]), STANDARD)

    assert abs(asked(0.0) - asked(round(shift))) <= 1  # the shift itself rounds


def test_a_pair_without_a_value_is_measured_again_up_to_the_most_allowed() -> None:
    empty = PairValue(0, None, None, 8, 8)
    assert pairs_needed([empty, empty], STANDARD) == 7
    assert pairs_needed([empty] * 14, STANDARD) == 15
    assert pairs_needed([empty], QUICK) == 1


# --- the interval ----------------------------------------------------------------------------------------------------


def test_the_interval_of_five_pairs_is_students() -> None:
    # Mean 0.1, s = 0.01 sqrt(2.5), half-width 2.776 s / sqrt(5) = 0.019632.
    result = compare(pairs_with([0.08, 0.09, 0.10, 0.11, 0.12]), STANDARD)
    assert result.ratio == pytest.approx(math.exp(0.1))
    assert result.half_width == pytest.approx(0.019632, abs=2e-6)
    assert result.low == pytest.approx(math.exp(0.1 - 0.019632), abs=5e-6)
    assert result.high == pytest.approx(math.exp(0.1 + 0.019632), abs=5e-6)
    assert (result.pairs, result.rounds, result.discarded, result.within_process) == (5, 40, 0, False)


def test_later_pairs_narrow_the_interval_by_their_number_and_not_by_their_scatter() -> None:
    first = [-0.08, -0.04, 0.0, 0.04, 0.08]
    result = compare(pairs_with([*first, *([0.0] * 8)]), STANDARD)
    assert result.half_width == pytest.approx(2.776445 * 0.04 * math.sqrt(2.5) / math.sqrt(13))
    assert result.half_width <= STANDARD.half_width


def test_three_pairs_of_a_run_cut_short_have_a_wide_interval_of_their_own() -> None:
    # s = 0.01, 4.303 * 0.01 / sqrt(3) = 0.024843.
    result = compare(pairs_with([0.09, 0.10, 0.11]), STANDARD)
    assert not result.within_process
    assert result.half_width == pytest.approx(0.024843, abs=3e-6)


def test_one_pair_is_widened_by_the_scatter_between_processes_and_says_so() -> None:
    # Rounds give 0.01 with 7 degrees of freedom, the assumption 0.016 with 4: variance 0.000356, and
    # df = 0.000356^2 / (0.0001^2 / 7 + 0.000256^2 / 4) = 7.115, between t(7) = 2.365 and t(8) = 2.306.
    result = compare([PairValue(0, 0.1, 0.01, 8, 0)], QUICK)
    assert result.within_process
    assert result.half_width is not None
    assert 2.306 < result.half_width / math.sqrt(0.000356) < 2.365


def test_measured_scatter_between_processes_replaces_the_assumed_one_by_degrees() -> None:
    quiet, loud = control(pairs_with([0.0])), control(pairs_with([0.1]))
    assert quiet.between_sd == pytest.approx(math.sqrt(4 * 0.016**2 / 5))
    # A tenth apart, of which rounds with an error of 1% explain a little.
    assert loud.between_sd == pytest.approx(math.sqrt((4 * 0.016**2 + 0.1**2 - 0.01**2) / 5))
    assert loud.between_df == 5
    pair = [PairValue(0, 0.1, 0.01, 8, 0)]
    widths = [compare(pair, QUICK, aa).half_width for aa in (quiet, None, loud)]
    assert widths == sorted(widths, key=lambda width: width or 0)


def test_without_rounds_there_is_no_ratio_and_with_one_no_interval() -> None:
    assert compare([], QUICK) == Comparison(None, None, None, None, 0, 0, 0, True)
    single = compare(pair_values(rounds_with([0.1])), QUICK)
    assert single.ratio == pytest.approx(math.exp(0.1))
    assert (single.low, single.high, single.half_width) == (None, None, None)
    assert verdict(single, 0.05) == "undecided"


# --- the floor and the verdict ---------------------------------------------------------------------------------------


def test_the_floor_is_five_percent_or_twice_the_scatter_of_identical_workers() -> None:
    assert control().floor == 0.05
    assert control().sd is None
    assert control(pairs_with([0.01, -0.01])).floor == 0.05
    # About 0 and not about their mean: identical workers that always differ by 4% are no better than that.
    assert control(pairs_with([0.04, 0.04, 0.04])).sd == pytest.approx(0.04)
    assert control(pairs_with([0.04, 0.04, 0.04])).floor == pytest.approx(0.08)


def result_with(low: float, high: float, *, discarded: int = 0) -> Comparison:
    ratio, half_width = math.sqrt(low * high), math.log(high / low) / 2
    return Comparison(ratio, low, high, half_width, 5, 40, discarded, within_process=False)


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (1.06, 1.20, "faster"),
        (1.05, 1.20, "undecided"),
        (1.01, 1.20, "undecided"),
        (0.96, 1.04, "equivalent"),
        (0.9525, 1.05, "equivalent"),
        (0.95, 1.04, "undecided"),
        (0.80, 1.20, "undecided"),
        (0.80, 0.952, "slower"),
        (0.80, 0.953, "undecided"),
    ],
)
def test_nothing_under_the_floor_is_called_a_difference(low: float, high: float, expected: str) -> None:
    assert verdict(result_with(low, high), 0.05) == expected
    mirrored = {"faster": "slower", "slower": "faster"}.get(expected, expected)
    assert verdict(result_with(1 / high, 1 / low), 0.05) == mirrored


def test_over_a_quarter_of_discarded_rounds_leaves_no_verdict() -> None:
    assert verdict(result_with(1.5, 1.6, discarded=10), 0.05) == "faster"
    assert verdict(result_with(1.5, 1.6, discarded=11), 0.05) == "unstable"


# --- the median ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "count, rank, coverage",
    # Conover's table of the binomial distribution, p = 1/2.
    [(6, 1, 0.9688), (8, 1, 0.9922), (10, 2, 0.9785), (15, 4, 0.9648), (20, 6, 0.9586), (30, 10, 0.9572)],
)
def test_the_interval_of_a_median_is_that_of_the_printed_binomial_table(count: int, rank: int, coverage: float) -> None:
    interval = median_interval([float(value) for value in range(count, 0, -1)])
    assert (interval.low, interval.high) == (rank, count + 1 - rank)
    assert interval.coverage == pytest.approx(coverage, abs=1e-4)


def test_fewer_than_six_values_span_less_than_95_percent_and_say_so() -> None:
    assert median_interval([2.0]) == MedianInterval(2.0, 2.0, 2.0, 1, 0.0)
    assert median_interval([3.0, 1.0, 2.0, 5.0, 4.0]) == MedianInterval(3.0, 1.0, 5.0, 5, 1 - 2 / 2**5)
    with pytest.raises(ValueError, match="expected at least one"):
        median_interval([])


@given(values=st.lists(st.floats(0, 1e12), min_size=1, max_size=3000))
def test_a_median_lies_in_its_interval(values: list[float]) -> None:
    interval = median_interval(values)
    assert interval.low <= interval.median <= interval.high
    assert interval.median == median(values)
    assert len(values) < 6 or 0.95 <= interval.coverage < 1
