import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradparity.benchmark.schedule import Schedule, Turn, is_twin, twin

NAMES = ["autograd", "jax", "torch"]


def names_of(turns: list[Turn]) -> list[str]:
    return [turn.challenger for turn in turns]


def test_a_round_is_a_b_b_a_and_the_next_is_b_a_a_b() -> None:
    turns = list(Schedule("numpy", {"jax": 3}, pair=0, seed=1))
    assert [turn.order for turn in turns] == [
        ("numpy", "jax", "jax", "numpy"),
        ("jax", "numpy", "numpy", "jax"),
        ("numpy", "jax", "jax", "numpy"),
    ]
    assert [(turn.pair, turn.round) for turn in turns] == [(0, 0), (0, 1), (0, 2)]


def test_the_next_pair_of_processes_begins_the_other_way_round() -> None:
    first = next(iter(Schedule("numpy", {"jax": 1}, pair=1, seed=1)))
    assert first.order == ("jax", "numpy", "numpy", "jax")


def test_the_order_is_drawn_anew_each_round_and_follows_from_the_seed() -> None:
    def order(seed: int, pair: int = 0) -> list[str]:
        return names_of(list(Schedule("numpy", dict.fromkeys(NAMES, 8), pair=pair, seed=seed)))

    assert order(3) == order(3)
    assert order(3) != order(4)
    assert order(3) != order(3, pair=1)
    assert len({tuple(order(3)[start : start + 3]) for start in range(0, 24, 3)}) > 1


def test_without_the_reference_the_others_are_timed_alone() -> None:
    schedule = Schedule("numpy", {"jax": 2, "torch": 2}, pair=0, seed=5)
    turns = []
    for turn in schedule:
        turns.append(turn)
        if len(turns) == 2:
            schedule.drop("numpy")
    assert [turn.reference for turn in turns] == ["numpy", "numpy", None, None]
    assert sorted(turn.order for turn in turns[2:]) == [("jax", "jax"), ("torch", "torch")]


def test_the_control_is_a_second_worker_of_the_reference() -> None:
    assert is_twin(twin("numpy"))
    assert not is_twin("numpy")
    turn = next(iter(Schedule("numpy", {twin("numpy"): 1}, pair=0, seed=0)))
    assert turn.order == ("numpy", "numpy~twin", "numpy~twin", "numpy")


def test_the_reference_cannot_be_compared_with_itself() -> None:
    with pytest.raises(ValueError, match="expected its twin 'numpy~twin'"):
        Schedule("numpy", {"numpy": 8}, pair=0, seed=0)
    with pytest.raises(ValueError, match="expected 0 or more"):
        Schedule("numpy", {"jax": -1}, pair=0, seed=0)


@given(
    rounds=st.dictionaries(st.sampled_from(["a", "b", "c", "d", "e"]), st.integers(0, 9)),
    pair=st.integers(0, 20),
    seed=st.integers(0, 2**32),
    lost=st.sets(st.sampled_from(["a", "b", "c", "d", "e", "reference"])),
    when=st.integers(0, 30),
)
def test_whoever_is_lost_the_others_get_every_round_exactly_once(
    rounds: dict[str, int], pair: int, seed: int, lost: set[str], when: int
) -> None:
    schedule = Schedule("reference", rounds, pair=pair, seed=seed)
    turns = []
    for turn in schedule:
        assert not set(turn.order) & schedule.lost
        turns.append(turn)
        if len(turns) == when:
            for name in lost:
                schedule.drop(name)
    for name, count in rounds.items():
        done = [turn.round for turn in turns if turn.challenger == name]
        assert done == list(range(len(done)))
        assert name in lost or len(done) == count
