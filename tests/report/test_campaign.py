"""Many models in one report: counted where they agree, by cause where they do not, with their seeds; never too long."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from msgspec import structs
from rich.console import Console

from gradparity.judge.causes.kinds import kind_of, together
from gradparity.judge.speed.compare import compare_runs
from gradparity.report.facts.campaign import Campaign, campaign
from gradparity.report.facts.overview import overview
from gradparity.report.markdown import MOST_CHARACTERS, markdown
from gradparity.report.page import document
from gradparity.report.page.render import MOST_BYTES
from gradparity.report.terminal.compare import print_comparison
from gradparity.report.terminal.first_screen import MOST_LINES, print_first_screen
from gradparity.report.terminal.tables import text
from gradparity.results import RunResult, Trouble
from gradparity.results.run import Place
from tests.report import samples
from tests.report.campaigns import BACKENDS, made, model, one_wrong
from tests.report.samples import SCRIPT, finding, run
from tests.report.test_page import Page

MANY = made()
PAGE = document(MANY)
PARSED = Page(PAGE)


def found_in(result: RunResult) -> Campaign:
    found = campaign(result)
    assert found is not None
    return found


def screen(result: RunResult, width: int, most: int | None = MOST_LINES) -> str:
    out = io.StringIO()
    print_first_screen(
        Console(file=out, width=width, markup=False, emoji=False, highlight=False), overview(result), ["x/"], most=most
    )
    return out.getvalue()


def test_every_model_is_counted_once_and_the_headline_says_how_many_are_what():
    counts = found_in(MANY).counts
    assert counts == {"disagrees": 9, "failed": 1, "unresolved": 0, "not compared": 1, "known": 0, "agrees": 29}
    assert overview(MANY).headline == (
        "9 of 40 models do not agree, for 3 causes; 1 failed, 1 was not compared, 29 agree (3 backends, 3 seeds each)."
    )


def test_causes_are_one_whatever_the_model_calls_its_parameters_and_the_most_frequent_is_first():
    first, *others = found_in(MANY).causes
    assert (first.title, len(first.models), first.backends) == ("factor 2", 6, {"torch": 5, "jax": 1})
    assert [(cause.title, len(cause.models)) for cause in others] == [
        ("zero block: ... is detached, or not used", 2),
        ("would agree with `1e-5` in place of `1e-6`", 1),
        ("failed in evaluation: RuntimeError: size 10", 1),
        ("was not compared", 1),
    ]


def test_a_rule_that_no_cause_explains_is_told_without_its_figures():
    result = made(20, 1)
    for place, problem in enumerate(result.problems[-2:]):
        along = f"along a direction in w it gives {place}.5, and values of the loss {place}.25 to within 1e-09"
        rule = f"its gradient is not the derivative of its own loss: {along}; pairwise, against torch: more"
        problem.findings.append(finding("jax", bad=True, cause="", rule=rule))
    titles = {cause.title: len(cause.models) for cause in found_in(result).causes}
    assert titles["no cause known: its gradient is not the derivative of its own loss"] == 2


def test_a_model_that_is_off_at_one_seed_of_three_says_at_which():
    (model,) = [each for each in found_in(MANY).models if each.name == "one-seed.py"]
    assert [model.at_seeds(seen) for seen in model.seen] == ["seed 2 of 3"]
    assert "one-seed.py (seed 2 of 3)" in markdown(MANY).replace("\\", "")
    row = next(row for row in re.findall(r"<tr data-m.*?</tr>", PAGE, re.DOTALL) if "one-seed.py" in row)
    assert "seed 2 of 3" in row


@pytest.mark.parametrize("width", [80, 120])
def test_the_screen_of_a_terminal_has_causes_with_their_first_models_and_no_more_than_forty_lines(width: int):
    printed = screen(MANY, width)
    assert len(printed.splitlines()) <= MOST_LINES
    flat = " ".join(printed.split())
    assert "factor 2" in flat
    assert "twice-0.py" in flat
    assert "right-0" not in flat
    assert all(len(line) <= width for line in printed.splitlines() if "and " not in line[:8])


def test_all_that_is_printed_of_many_models_is_no_longer_for_more_that_agree():
    assert len(text(made(30)).splitlines()) == len(text(made(60)).splitlines()) < 200


@pytest.mark.parametrize("count", [12, 13])
def test_up_to_twelve_problems_each_has_its_own_place(count: int):
    result = run(*(model(f"m{place}.py", None, bad="jax") for place in range(count)), command="check")
    assert (overview(result).campaign is None) == (count == 12)
    assert ('class="filter"' in document(result)) == (count == 13)


def test_sizes_of_one_model_are_no_campaign():
    assert overview(samples.many()).campaign is None


def test_where_all_agree_there_is_no_cause_and_the_state_is_that():
    result = run(*(model(f"m{place}.py", None) for place in range(20)), command="check")
    found = overview(result)
    assert (found.state, found.causes) == ("agrees", None)
    assert found.headline == "All 20 models agree (3 backends)."


def test_models_that_were_not_reached_are_not_said_to_agree():
    result = run(*(model(f"m{place}.py", None) for place in range(20)), command="check", planned=25)
    assert overview(result).headline == "5 of 25 models were not compared; 20 agree (3 backends)."


def test_a_model_that_was_not_reached_at_all_of_its_seeds_does_not_agree():
    result = made(20, 3, settings={"seeds": [0, 1, 2]})
    last = result.problems.pop()
    counts = found_in(result).counts
    assert (counts["not compared"], sum(counts.values())) == (2, 20)
    assert "was not reached at 1 of 3 seeds: right-008.py" in " ".join(screen(result, 120).split())
    assert last.name == "right-008.py"
    assert Page(document(result)).faults == []
    del result.problems[-2:]
    assert found_in(result).counts["not compared"] == 2  # as a model that no problem is of


def test_the_page_is_well_formed_and_every_model_of_a_cause_leads_to_its_section():
    assert PARSED.faults == []
    ids = [found["id"] for _, found in PARSED.tags if found.get("id")]
    assert len(ids) == len({*ids})
    links = {
        str(found["href"])[1:] for tag, found in PARSED.tags if tag == "a" and str(found.get("href")).startswith("#m")
    }
    assert {link for link in links if link != "main"} <= {*ids}
    assert len([each for each in ids if re.fullmatch(r"m\d+", str(each))]) == 11
    assert 'id="plotly"' not in PAGE


def test_what_a_page_is_filtered_by_is_in_its_rows_without_any_name_from_outside():
    page = document(one_wrong(SCRIPT))
    assert SCRIPT not in page
    assert Page(page).faults == []
    keys = re.findall(r'data-of="(.*?)"', page)
    assert keys
    assert all(re.fullmatch(r"(s\d(\.v\d+\.b\d*\.c\d+)? ?)+", each) for each in keys)


def test_without_scripts_all_models_are_a_list_and_nothing_is_there_to_filter_with():
    (form,) = [found for tag, found in PARSED.tags if tag == "form"]
    assert "hidden" in form
    assert not [found for tag, found in PARSED.tags if tag == "details" and "open" not in found and "class" in found
                and found["class"] != "menu"]  # fmt: skip
    assert PAGE.count("<tr data-m=") == 40


def test_a_page_that_would_be_too_large_leaves_out_more_and_more_and_says_what(monkeypatch: pytest.MonkeyPatch):
    from gradparity.report.page import render

    sizes = {}
    for most in (10**7, len(PAGE.encode()) - 1, 1):
        monkeypatch.setattr(render, "MOST_BYTES", most)
        page = render.render(MANY)
        sizes[most] = len(page.encode())
        assert ("more than one page can hold" in page) == (most < 10**7)
    assert sizes[1] < sizes[len(PAGE.encode()) - 1] < sizes[10**7]
    assert "there is a row for each model, and no section" in page
    assert 'href="#m0"' not in page


def test_the_comment_has_the_models_of_each_cause_and_is_no_longer_than_github_takes():
    long = made(3000, 1)
    long.problems = [structs.replace(each, name=each.name.replace("right", "twice-" * 5)) for each in long.problems]
    for problem in long.problems:
        problem.findings = [
            structs.replace(f, verdict="wrong", cause=f"{problem.name} is off") for f in problem.findings
        ]
    for result in (MANY, structs.replace(long, problems=long.problems[:300])):
        assert len(markdown(result)) <= MOST_CHARACTERS
    assert "<summary>6 models: factor 2</summary>" in markdown(MANY)


CAUSES = [
    ("zero block: V0 is detached, or not used", "zero block: b is detached, or not used", ["V0", "b"], True),
    ("1/20 of the truth (20 is also rows of X)", "1/7 of the truth (7 is also rows of data)", [], True),
    ("factor 1.23456789", "factor 3.98765432", [], True),
    ("factor 2", "factor 3", [], False),
    ("factor 2 or c", "factor 2", [], False),
    ("only one entry differs: [3, 4]", "only one entry differs: [0]", [], True),
    ("float32 leak: rounded by 6e-08", "float16 leak: rounded by 6e-08", [], False),
    ("stops the gradient at `x` (jax.py:3)", "stops the gradient at `y` (net/port.py:14)", [], True),
    ("failed: KeyError: 'a' (m7/x.py, line 5)", "failed: KeyError: 'a' (many/m\u00fcl/y.py, line 16)", [], True),
    ("3 of 7 entries", "1 of 9 entries", [], True),
    ("sign", "transposed", [], False),
]


@pytest.mark.parametrize(("one", "other", "names", "same"), CAUSES)
def test_what_is_a_models_own_does_not_make_another_cause(one: str, other: str, names: list[str], same: bool):
    kinds = [kind_of(each, names) for each in (one, other)]
    assert (kinds[0].words == kinds[1].words) == same
    assert kind_of(kinds[0].words, names).words == kinds[0].words  # as a list of known disagreements has it
    assert together(kinds[:1]) in (one, kinds[0].words)


def test_of_many_problems_a_comparison_says_what_became_of_how_many():
    old, new = made(), made()
    for problem in new.problems[-6:]:
        problem.findings = [
            structs.replace(found, verdict="wrong") if found.backend == "jax" else found for found in problem.findings
        ]
    out = io.StringIO()
    print_comparison(Console(file=out, width=120, markup=False), compare_runs(old, new))
    said = out.getvalue()
    (row,) = [line for line in said.splitlines() if line.startswith("worse")]
    assert row.split()[:7] == ["worse", "jax", "agrees", "->", "wrong", "6", "12"]
    assert "right-027.py and right-028.py" in row
    assert len(said.splitlines()) < 40


def test_a_section_says_on_which_machine_it_was_measured():
    result = made(20, 1, machines={"node-a": {"cpu": "a CPU", "cores": 4}})
    for problem in result.problems:
        problem.place = Place(job=0, machine="node-a")
    assert "Measured on node-a" in document(result)


def test_a_model_that_was_never_drawn_has_no_arrays_to_tell():
    result = made(20, 1)
    failed = model("broken.py", None)
    failed.spec, failed.findings = {"parameters": [], "dtype": "float64"}, []
    failed.troubles = [Trouble(backend=name, stage="model", reason="SyntaxError") for name in BACKENDS]
    result.problems.append(failed)
    assert "0 parameters" not in document(result)
    assert found_in(result).counts["failed"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("causes", ["few", "many"])
def test_five_hundred_models_at_three_seeds_fit_on_one_page(causes: str):
    result = made(500)
    if causes == "many":  # every model is off, each for a cause of its own
        for problem in result.problems:
            off: dict[str, Any] = {"verdict": "wrong", "cause": f"{problem.name} is off", "floors": 1e5}
            problem.findings = [structs.replace(found, **off) for found in problem.findings]
    page = document(result)
    assert len(page.encode()) <= MOST_BYTES < 6 * 10**6
    assert Page(page).faults == []
    assert page.count("<tr data-m=") == 500
    assert len(markdown(result)) <= MOST_CHARACTERS
    assert len(screen(result, 80).splitlines()) <= MOST_LINES
    assert BACKENDS[0] in page
