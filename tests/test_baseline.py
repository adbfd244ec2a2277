"""A list of known disagreements: what passes with it, what fails, and what it is to lose."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

import gradparity
from gradparity.cli.exits import exit_code
from gradparity.judge.baseline import entries_of, hold
from gradparity.judge.changes import PROCESS
from gradparity.report.facts.overview import overview
from gradparity.results import Finding, RunResult, Trouble, Verdict
from gradparity.results.baseline import Known, written
from tests.conftest import Command
from tests.report import campaigns, samples

#: A gradient by hand that is twice the derivative in `b`, in a folder whose other port is right.
MODEL = """
import numpy as np

def parameters(rng):
    return {"w": rng.standard_normal(3), "b": rng.standard_normal(1)}

def data(rng):
    return {"X": rng.standard_normal((5, 3))}

def loss(params, data, xp):
    return xp.mean(xp.tanh(data["X"] @ params["w"] + params["b"]) ** 2)

def gradient(params, data):
    t = np.tanh(data["X"] @ params["w"] + params["b"])
    g = 2 * t * (1 - t**2) / 5
    return {"w": data["X"].T @ g, "b": 2 * np.sum(g)[None]}
"""


def result_of(**verdicts: Verdict) -> RunResult:
    """A run of jax on toy with these verdicts on gradients."""
    found = [
        Finding(backend="jax", quantity="gradient", parameter=name, verdict=verdict, rule="")
        for name, verdict in verdicts.items()
    ]
    return samples.run(samples.problem("toy", [], clock=False, findings=found, timings=[]))


def known(verdict: str, *blocks: str, reason: str = "a ticket", model: str = "toy", backend: str = "jax") -> Known:
    return Known(model=model, backend=backend, verdict=verdict, blocks=list(blocks), reason=reason)


def test_what_is_listed_is_known_and_what_is_not_is_new():
    found = hold(result_of(W="wrong", b="agrees", c="unstable"), [known("wrong", "gradient W")], "known.toml")
    assert [(each.block, each.reason) for each in found.known] == [("gradient W", "a ticket")]
    assert [(each.block, each.verdict, each.listed) for each in found.new] == [("gradient c", "unstable", "")]
    assert (found.mended, found.unchecked, found.ok) == ([], [], False)


@pytest.mark.parametrize("verdict", ["unstable", "nonfinite"])
def test_another_verdict_than_is_listed_is_new_even_where_it_is_better(verdict: Verdict):
    (new,) = hold(result_of(W=verdict), [known("wrong", "gradient W")], "").new
    assert (new.verdict, new.listed) == (verdict, "wrong")


@pytest.mark.parametrize(
    ("floors", "cause", "said"),
    [
        (9.9e4, "factor 2", ""),
        (1.1e5, "factor 2", "worse: 1.1e+05 floors, listed with 1e+04"),
        (None, "factor 2", "worse: an error that is no finite number, listed with 1e+04"),
        (1e4, "factor 3", "for another cause: factor 3, listed with factor 2"),
        (1e4, "", "for another cause: none that is known, listed with factor 2"),
        (1e2, "factor 2", ""),
    ],
)
def test_what_is_ten_times_as_bad_as_is_listed_or_has_another_cause_is_new(floors: float | None, cause: str, said: str):
    result = result_of(W="wrong")
    result.problems[0].findings = [
        structs.replace(each, floors=floors, cause=cause) for each in result.problems[0].findings
    ]
    listed = structs.replace(known("wrong", "gradient W"), floors=[1e4], cause="factor 2")
    found = hold(result, [listed], "")
    assert [each.worse for each in found.new] == ([said] if said else [])
    assert found.ok == (not said)
    assert hold(result, [known("wrong", "gradient W")], "").ok  # a list that does not say how bad it was


def test_each_block_is_held_to_its_own_error_and_a_cause_to_its_kind():
    result = result_of(W="wrong", b="wrong")
    first, second = result.problems[0].findings
    result.problems[0].findings = [
        structs.replace(first, floors=1e9, cause="zero block: W is detached, or not used"),
        structs.replace(second, floors=1e9, cause="zero block: b is detached, or not used"),
    ]
    (entry,) = entries_of(result)
    assert (entry.blocks, entry.floors) == (["gradient W", "gradient b"], [1e9, 1e9])
    assert hold(result, [entry], "").ok
    less = structs.replace(entry, floors=[1e9, 1e3])
    assert [each.block for each in hold(result, [less], "").new] == ["gradient b"]


def over_seeds(*bad: int) -> RunResult:
    """One model at three seeds, wrong at some of them."""
    problems = []
    for seed in range(3):
        (problem,) = result_of(W="wrong" if seed in bad else "agrees").problems
        problem.seed = seed
        problems.append(problem)
    return samples.run(*problems)


def test_a_model_at_several_seeds_is_one_entry_and_names_those_that_disagree_where_it_is_not_all():
    (every,) = entries_of(over_seeds(0, 1, 2))
    (one,) = entries_of(over_seeds(1))
    assert (every.model, every.seeds, one.model, one.seeds) == ("toy", [], "toy", [1])
    assert hold(over_seeds(0, 1, 2), [every], "").ok
    assert hold(over_seeds(1), [one], "").ok
    assert [each.model for each in hold(over_seeds(0, 1), [one], "").new] == ["toy, seed 0"]
    assert [each.model for each in hold(over_seeds(0, 1), [every], "").mended] == ["toy, seed 2"]
    reasoned = structs.replace(one, reason="a ticket")
    assert [entry.reason for entry in entries_of(over_seeds(0, 1, 2), [reasoned])] == ["a ticket"]
    other = structs.replace(one, seeds=[7])
    assert other in entries_of(over_seeds(0), [other, reasoned])


def test_models_that_the_run_does_not_have_are_named_and_fail_nothing():
    found = hold(result_of(W="agrees"), [known("wrong", "gradient W", model="gone.py")], "")
    assert (found.absent, found.ok) == (["gone.py"], True)


def test_of_many_models_what_is_new_and_what_is_mended_is_told_together():
    result = campaigns.made(seeds=1)
    entries = [structs.replace(entry, reason="a ticket") for entry in entries_of(result)]
    result.baseline = hold(result, entries, "known.toml")
    assert overview(result).state == "failed"  # a backend said nothing on one model
    assert "7 disagree as is known" not in overview(result).headline
    assert "all of it is known (known.toml)" in overview(result).headline
    assert exit_code(result) == 3
    assert {cause.state for cause in overview(result).campaign.causes} == {"known", "not compared"}
    entries.append(known("wrong", "gradient w", model="gone.py"))
    kept = [entry for entry in entries if entry.model != "twice-0.py"]
    kept += [known("wrong", "gradient w", model=f"right-{place:03}.py") for place in range(5)]
    result.baseline = hold(result, kept, "known.toml")
    notes = {note.name: note for note in overview(result).faults}
    assert notes["To be deleted from known.toml:"].text == "5 blocks on 5 problems"
    assert "and 2 more" in notes["To be deleted from known.toml:"].more
    assert "twice-0.py" in notes["Not as in known.toml:"].text
    assert notes["In known.toml, and not in this run:"].text == "1 model (gone.py)"
    assert exit_code(result) == 1
    first, *others = overview(result).campaign.causes  # what is known of the same cause is apart
    assert (first.word, [each.name for each in first.models]) == ("wrong", ["twice-0.py"])
    assert next(each for each in others if each.title == "factor 2").word == "wrong, known"


@pytest.mark.parametrize("now", ["agrees", "kink", None])
def test_what_is_mended_or_no_block_any_more_must_leave_the_list(now: Verdict | None):
    result = result_of(b="agrees", **({"W": now} if now else {}))
    found = hold(result, [known("wrong", "gradient W")], "")
    assert ([each.verdict for each in found.mended], found.ok) == ([now or ""], False)


def test_of_what_had_no_time_nothing_is_said_to_be_mended():
    result = result_of(b="agrees")
    result.problems[0].left_out = ["hvp of jax"]
    found = hold(result, [known("wrong", "hvp W")], "")
    assert ([each.block for each in found.unchecked], found.ok) == (["hvp W"], True)


def test_entries_of_other_commands_say_nothing():
    entries = [known("wrong", "gradient W", model="other"), known("wrong", "gradient W", backend="torch")]
    found = hold(result_of(W="agrees"), entries, "")
    assert (found.ok, found.mended, found.unchecked) == (True, [], [])


def test_a_backend_that_fails_is_one_entry_until_it_answers():
    result = result_of(W="agrees")
    failed = structs.replace(result.problems[0].findings[0], backend="torch", quantity="loss", verdict="failed")
    result.problems[0].findings.append(failed)
    result.problems[0].troubles = [Trouble(backend="torch", stage="evaluation", reason="it crashed")]
    entry = known("failed", PROCESS, backend="torch")
    assert entries_of(result) == [structs.replace(entry, reason="")]
    assert hold(result, [entry], "").ok
    mended = result_of(W="agrees")
    mended.problems[0].findings.append(structs.replace(failed, verdict="agrees"))
    assert [each.block for each in hold(mended, [entry], "").mended] == [PROCESS]


def test_the_list_is_written_with_the_reasons_that_it_has_and_those_of_others():
    earlier = [known("wrong", "gradient W", "gradient gone"), known("wrong", "loss", model="other", reason="theirs")]
    entries = entries_of(result_of(W="wrong", b="unstable"), earlier)
    assert [(e.model, e.verdict, e.blocks, e.reason) for e in entries] == [
        ("other", "wrong", ["loss"], "theirs"),
        ("toy", "wrong", ["gradient W"], "a ticket"),
        ("toy", "unstable", ["gradient b"], ""),
    ]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=3))
def test_every_name_and_reason_is_written_as_tomls_own_reader_has_it(texts: list[str]):
    entry = known("wrong", *texts, reason=texts[0], model=texts[-1])
    given = {name: value for name, value in structs.asdict(entry).items() if value not in ("", [])}
    assert tomllib.loads(written([entry], "known.toml")) == {"known": [{"reason": "", "model": "", **given}]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "expected entries"),
        ("[[known]]\nmodel = 'm'", "missing required field `backend`"),
        ("[[unknown]]", "unknown table `unknown`"),
        (written([known("wrong", "loss", reason=" ")], ""), "no reason"),
        (written([known("wrong", "loss"), known("unstable", "loss")], ""), "loss twice"),
        (written([structs.replace(known("wrong", "loss", "jvp"), floors=[1.0])], ""), "1 floors of 2 blocks"),
    ],
)
def test_a_list_of_another_form_is_refused_before_anything_runs(text: str, said: str, tmp_path: Path, command: Command):
    (tmp_path / "known.toml").write_text(text)
    out = str(tmp_path / "out")
    code, _, err = command("check", "--data", "toy", "--baseline", str(tmp_path / "known.toml"), "--out", out)
    assert code == 2
    assert said in " ".join(err.split())
    assert not Path(out).exists()


@pytest.mark.slow
def test_a_list_is_written_filled_in_held_to_and_shrinks(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("model.py").write_text(MODEL)
    check = ("check", "model.py", "--backends", "numpy", "--steps", "3")
    assert command(*check)[0] == 1
    assert (
        "Written: known.toml. Write a reason into each"
        in command("baseline", "gradparity-report", "--out", "known.toml")[1]
    )
    listed = Path("known.toml").read_text()
    assert command(*check, "--baseline", "known.toml")[0] == 2  # each has its reason
    again = ("baseline", "gradparity-report", "--out", "known.toml", "--reason", "twice, for the old optimiser")
    assert command(*again)[1] == "Written: known.toml.\n"
    assert Path("known.toml").read_text() == listed.replace('""', '"twice, for the old optimiser"')
    code, out, _ = command(*check, "--baseline", "known.toml")
    assert code == 0
    assert "all of it is known (known.toml)" in " ".join(out.split())
    assert gradparity.check("model.py", backends=["numpy"], steps=3, baseline="known.toml").ok
    Path("model.py").write_text(MODEL.replace('"b": 2 *', '"b":'))
    code, out, _ = command(*check, "--baseline", "known.toml", "--json")
    assert code == 1
    assert "gradient b" in [each["block"] for each in json.loads(out)["baseline"]["mended"]]
    code, out, _ = command("report", "gradparity-report")
    assert code == 1
    assert "To be deleted from known.toml: numpy on model.py: gradient b" in " ".join(out.split())
