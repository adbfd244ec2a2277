"""Which backend diverges from which others, where and by how much: recordings made by hand, and wrong ports."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradparity import tap
from gradparity.judge.divergence import between, divergences
from gradparity.results import Finding
from gradparity.results.divergence import Divergence, Divergences
from gradparity.worker.messages import Recorded
from gradparity.worker.recording import record
from tests.conftest import configured
from tests.taps.models import DATA, DIFFERENTIATED, PARAMS, by_hand, network

RIGHT = {"a": np.array([[1.0, 2.0], [3.0, 5.0]]), "b": np.array([1.0, -2.0, 3.0]), "c": np.array(7.0)}


def recorded(values: dict[str, Any], cotangents: dict[str, Any] | None = None, floor: float = 1e-15) -> Recorded:
    """A recording of one call of each tap, whose floors are ``floor`` everywhere."""

    def keyed(tree: dict[str, Any]) -> dict[str, Any]:
        return {key if "#" in key else f"{key}#0": np.asarray(value) for key, value in tree.items()}

    values, cotangents = keyed(values), keyed(cotangents if cotangents is not None else values)
    floors = [{key: np.full(x.shape, floor) for key, x in tree.items()} for tree in (values, cotangents)]
    return Recorded(values, cotangents, *floors, differentiated=True)


def first(result: Divergences, direction: str) -> Divergence:
    (found,) = [found for found in result.found if found.direction == direction]
    return found


def test_equal_recordings_diverge_nowhere():
    assert divergences({"x": recorded(RIGHT), "y": recorded(RIGHT)}) == Divergences(taps=3)


def test_a_difference_is_compared_with_the_floors_of_both():
    # Floors of 1e-3 in each backend, in quadrature, and again with their block: 2e-3.
    near, far = ({**RIGHT, "b": RIGHT["b"] + [0, delta, 0]} for delta in (0.0319, 0.0321))
    exact = recorded(RIGHT, floor=1e-3)
    assert divergences({"x": exact, "y": recorded(near, RIGHT, floor=1e-3)}).found == []
    found = first(divergences({"x": exact, "y": recorded(far, RIGHT, floor=1e-3)}), "forward")
    assert (found.tap, found.index, found.got, found.expected) == ("b", (1,), -1.9679, -2.0)
    assert found.floors == pytest.approx(16.05)
    assert found.relative == pytest.approx(0.0321 / 3)
    assert found.ulps == pytest.approx(0.0321 / 2**-51)


def test_without_a_truth_the_majority_is_right_and_the_first_divergence_of_the_odd_one_is_told():
    wrong = {"a": RIGHT["a"], "b": RIGHT["b"] + [0, 0, 0.5], "c": RIGHT["c"] + 1}
    for names in (("x", "y", "z"), ("z", "x", "y"), ("x", "z", "y")):
        result = divergences({name: recorded(wrong if name == "z" else RIGHT, RIGHT) for name in names})
        found = first(result, "forward")
        assert (found.backend, found.against, found.tap) == ("z", ["x", "y"], "b")
        assert len(result.found) == 1


def test_the_first_cotangent_backward_is_that_of_the_last_tap_forward():
    wrong = {"a": RIGHT["a"] * 3, "b": RIGHT["b"] * 3, "c": RIGHT["c"]}
    result = divergences({name: recorded(RIGHT, wrong if name == "x" else RIGHT) for name in "xyz"})
    (found,) = result.found
    told = found.direction, found.backend, found.tap, found.resembles
    assert told == ("backward", "x", "b", "3 times as large")


def test_of_two_backends_that_part_neither_is_said_to_be_the_odd_one():
    result = divergences({"x": recorded(RIGHT), "y": recorded({**RIGHT, "a": -RIGHT["a"], "c": 8.0}, RIGHT)})
    (found,) = result.found
    assert str(found) == (
        "y diverges from x at `a` (forward): 2.0e+00 relative, 5.0e+15 floors, at [1, 1]: -5 against 5, "
        "-1 times as large"
    )


def test_with_a_truth_every_backend_is_compared_with_it_alone():
    wrong = recorded({**RIGHT, "b": RIGHT["b"] * 2}, RIGHT)
    result = divergences({"x": wrong, "y": wrong, "z": recorded(RIGHT)}, truth=Recorded(recorded(RIGHT).values))
    assert [(p.backend, p.against, p.tap, p.direction) for p in result.found] == [
        ("x", ["truth"], "b", "forward"),
        ("y", ["truth"], "b", "forward"),
    ]
    assert "x diverges from the truth at `b` (forward)" in str(result.found[0])


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (RIGHT["a"].T, "value", "transposed"),
        (np.zeros((2, 2)), "value", "all zero"),
        (RIGHT["a"][:1], "shape", "shape (1, 2) against (2, 2)"),
        (RIGHT["a"].astype(np.float32), "dtype", "dtype float32 against float64"),
        (RIGHT["a"] + 0j, "dtype", "dtype complex128 against float64"),
        (np.where(RIGHT["a"] == 3, np.nan, RIGHT["a"]), "nonfinite", "nan against 3 at [1, 0]"),
        (np.where(RIGHT["a"] == 2, -np.inf, RIGHT["a"]), "nonfinite", "-inf against 2 at [0, 1]"),
    ],
)
def test_what_is_off_is_said(value: Any, kind: str, words: str):
    result = divergences({name: recorded({**RIGHT, "a": value} if name == "z" else RIGHT, RIGHT) for name in "xyz"})
    found = first(result, "forward")
    assert (found.backend, found.tap, found.kind) == ("z", "a", kind)
    assert words in str(found)
    assert str(found).startswith("z diverges from the others at `a` (forward): ")


def test_the_same_nan_and_the_same_infinity_are_no_divergence():
    odd = {"a": np.array([np.nan, np.inf, -np.inf, 1.0])}
    assert divergences({"x": recorded(odd), "y": recorded(odd)}).found == []


def test_integers_and_booleans_are_compared_exactly():
    for right, wrong in ((np.array([1, 2]), np.array([1, 3])), (np.array([True, False]), np.array([True, True]))):
        pair = {"x": recorded({"k": right}, {}, floor=0), "y": recorded({"k": wrong}, {}, floor=0)}
        found = first(divergences(pair), "forward")
        assert (found.index, found.floors, found.ulps) == ((1,), None, None)
        assert "beyond a floor of zero" in str(found)
    widths = {"x": recorded({"k": np.array([1, 2])}, {}), "y": recorded({"k": np.array([1, 2], np.int32)}, {})}
    assert divergences(widths).found == []


def test_a_complex_entry_is_told_by_its_part():
    z = np.array([1 + 2j, 3 - 1j])
    found = first(
        divergences({"x": recorded({"z": z}, {}), "y": recorded({"z": z + np.array([0, 1j])}, {})}), "forward"
    )
    assert (found.index, found.got, found.expected) == ((1, 1), 0.0, -1.0)


def test_a_cotangent_that_is_missing_is_zero():
    only, zero, some = {"a": RIGHT["a"]}, {"a": np.zeros((2, 2))}, {"a": np.full((2, 2), 0.25)}
    assert divergences({"x": recorded(only, {}), "y": recorded(only, zero)}).found == []
    cut = first(
        divergences({"x": recorded(only, some), "y": recorded(only, {}), "z": recorded(only, some)}), "backward"
    )
    assert (cut.backend, cut.kind) == ("y", "missing")
    assert str(cut) == (
        "y diverges from the others at `a` (backward): no cotangent arrives, where one of up to 0.25 is expected"
    )


def test_a_backend_without_a_backward_pass_is_compared_forward_only():
    forward = Recorded(recorded(RIGHT).values)
    assert divergences({"numpy": forward, "x": recorded(RIGHT), "y": recorded(RIGHT)}) == Divergences(taps=3)


def test_calls_of_a_tap_in_a_loop_are_told_apart():
    loop = {f"h#{i}": np.array([float(i + 1)]) for i in range(4)}
    wrong = {**loop, "h#2": np.array([9.0]), "h#3": np.array([9.0])}
    found = first(divergences({"x": recorded(loop), "y": recorded(wrong, loop)}), "forward")
    assert (found.tap, found.occurrence, found.of) == ("h", 2, 4)
    assert "at `h` (forward, call 3 of 4)" in str(found)


def test_taps_that_some_lack_are_noted_and_the_others_compared():
    more = {"extra": np.ones(2), **RIGHT, "b#1": np.ones(1)}
    result = divergences({"x": recorded(RIGHT), "y": recorded(more)})
    assert result.found == []
    assert result.taps == 3
    assert result.notes == ["`extra` is met 0 times by x, 1 times by y", "`b` is met 1 times by x, 2 times by y"]


def test_another_order_of_taps_changes_nothing():
    backwards = dict(reversed(RIGHT.items()))
    wrong = {**backwards, "a": RIGHT["a"] + 1, "c": np.array(8.0)}
    result = divergences({"x": recorded(RIGHT), "y": recorded(wrong, RIGHT), "z": recorded(backwards, RIGHT)})
    assert first(result, "forward").tap == "a"  # in x's order


def test_backends_that_saw_nothing_are_left_out():
    assert divergences({"x": Recorded(), "y": recorded(RIGHT)}) == Divergences(taps=0)
    assert divergences({}) == Divergences()


def test_a_nan_is_no_reference_however_many_share_it():
    lost = recorded({**RIGHT, "b": np.array([1.0, np.nan, 3.0])})
    result = divergences({"x": lost, "y": lost, "z": recorded(RIGHT)})
    assert {(each.backend, each.tap, *each.against) for each in result.found} == {("x", "b", "z"), ("y", "b", "z")}


def test_behind_a_divergence_forward_one_backward_is_a_consequence_and_left_out():
    wrong = {**RIGHT, "b": RIGHT["b"] + 1}
    result = divergences({"x": recorded(RIGHT), "y": recorded(wrong, {**RIGHT, "c": 1.0, "a": RIGHT["a"] * 2})})
    assert [each.direction for each in result.found] == ["forward"]


def judged(quantity: str, parameter: str, verdict: Any, backend: str = "y") -> Finding:
    return Finding(backend=backend, quantity=quantity, parameter=parameter, verdict=verdict, rule="r")


def test_where_every_tap_agrees_the_fault_lies_between_a_parameter_and_the_first_tap_that_it_reaches():
    seen = msgspec.structs.replace(recorded(RIGHT), reached={"table": "a#0", "head": "c#0", "scale": ""})
    both = {"x": seen, "y": seen}
    found = [judged("loss", "", "agrees"), *(judged("gradient", name, "wrong") for name in seen.reached)]
    said = between(found, both, divergences(both))
    assert {block: words.partition(":")[0] for (_, block), words in said.items()} == {
        "gradient table": "between the parameter `table` and the tap `a`",
        "gradient head": "between the parameter `head` and the tap `c`",
        "gradient scale": "between the parameter `scale` and the loss, past every tap",
    }
    lost = between([judged("loss", "", "wrong"), judged("gradient", "table", "wrong")], both, divergences(both))
    assert lost == {("y", "loss"): "between the tap `c` and the loss: every tapped value agrees"}
    wrong = {**both, "y": recorded({**RIGHT, "b": RIGHT["b"] + 1})}
    assert between(found, wrong, divergences(wrong)) == {}  # a tap says it


def test_the_first_tap_that_each_parameter_moves_is_recorded():
    def loss(params: Any, data: Any) -> Any:
        return (tap("late", tap("early", params["a"] * 2.0) + params["b"]) * data["x"]).sum() + params["c"].sum()

    params = {name: np.array([1.0, -2.0]) for name in "abc"}
    seen = record(configured("autograd"), loss, params, {"x": np.array([3.0, 4.0])})
    assert seen.reached == {"a": "early#0", "b": "late#0", "c": ""}


def test_findings_survive_the_journey_through_json():
    wrong, behind = recorded({**RIGHT, "a": RIGHT["a"] * np.inf}), recorded(RIGHT, {**RIGHT, "c": 1.0})
    result = divergences({"w": recorded(RIGHT), "x": recorded(RIGHT), "y": wrong, "z": behind})
    assert len(result.found) == 2
    assert msgspec.json.decode(msgspec.json.encode(result), type=Divergences) == result


@given(st.integers(0, 2), st.floats(1e-9, 1e9), st.booleans(), st.sampled_from("xyz"))
def test_a_tap_scaled_by_a_millionth_is_found_at_any_scale(which: int, scale: float, up: bool, odd: str):
    name = list(RIGHT)[which]
    scaled = {key: value * scale for key, value in RIGHT.items()}
    wrong = {**scaled, name: scaled[name] * (1 + (1e-6 if up else -1e-6))}
    result = divergences({n: recorded(wrong if n == odd else scaled, {}, floor=1e-15 * scale) for n in "xyz"})
    found = first(result, "forward")
    assert (found.backend, found.tap) == (odd, name)
    assert found.relative == pytest.approx(1e-6, rel=1e-6)


# Wrong ports, each in every framework, beside two that are right.
FAULTS = {
    "transposed": ("forward", "h", "transposed"),
    "shape": ("forward", "h", "shape (2, 4, 4) against (4, 4)"),
    "scaled vjp": ("backward", "z", "2 times as large"),
    "detached": ("backward", "h", "no cotangent arrives"),
}


def network_recorded(name: str, fault: str = "") -> Recorded:
    return record(configured(name), network(name, fault), PARAMS, DATA, draws=4, seed=1)


@pytest.fixture(scope="module")
def right() -> dict[str, Recorded]:
    return {name: network_recorded(name) for name in ("numpy", *DIFFERENTIATED)}


def test_right_ports_diverge_nowhere(right: dict[str, Recorded]):
    assert divergences(right) == Divergences(taps=3)
    values, cotangents = by_hand()
    assert divergences(right, Recorded(values, cotangents, differentiated=True)) == Divergences(taps=3)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_a_wrong_port_is_found_where_it_goes_wrong(right: dict[str, Recorded], name: str, fault: str):
    direction, tap_name, words = FAULTS[fault]
    result = divergences({**right, name: network_recorded(name, fault)})
    found = result.found[0]
    assert {found.backend for found in result.found} == {name}
    assert (found.direction, found.tap) == (direction, tap_name)
    assert words in str(found)
    if direction == "backward":  # forward, nothing diverges
        assert len(result.found) == 1


def test_correct_backends_do_not_diverge_over_drawn_networks():
    def loss_in(xp: Any) -> Any:
        def loss(params, data):
            h = data["X"]
            for key in ("U", "V"):
                h = tap("act", xp.tanh(tap("pre", h @ params[key])))
            s = tap("s", (h * h).sum(0))
            return (s * s).sum() ** 0.5 + tap("e", xp.exp(-h)).sum()

        return loss

    spaces = {name: configured(name).namespace() for name in ("numpy", "autograd", "torch")}
    for seed in range(30):
        rng = np.random.default_rng(seed)
        rows, width = (int(rng.integers(1, most)) for most in (200, 30))
        dtype, scale = (np.float64, np.float32)[seed % 2], 10 ** rng.uniform(-2, 0.5) / width**0.5
        params = {key: (scale * rng.normal(size=(width, width))).astype(dtype) for key in "UV"}
        data = {"X": rng.normal(size=(rows, width)).astype(dtype)}
        result = divergences(
            {n: record(configured(n), loss_in(xp), params, data, seed=seed) for n, xp in spaces.items()}
        )
        assert [str(found) for found in result.found] == []
        assert result.taps == 6
