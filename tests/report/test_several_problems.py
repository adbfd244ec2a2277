"""What one sentence says of several problems is so on each of them; what is not has a sentence of its own."""

from __future__ import annotations

from msgspec import structs

from gradparity.report.facts.faults import fault_notes, faults
from gradparity.report.facts.overview import overview
from gradparity.report.terminal.style import clean
from gradparity.results import Diagnosis, Disagreement, Finding, NotGiven, Pairwise, ProblemResult
from tests.report.samples import finding, problem, run, training


def off(name: str, *blocks: str, floors: float = 9.0, diverges: int | None = None) -> ProblemResult:
    """A problem on which ``b`` has the wrong sign in some blocks, and maybe leaves the reference run at a step."""
    made = problem(name, ["a", "b"], clock=False)
    wrong: list[Finding] = []
    for place, block in enumerate(blocks):
        quantity, _, parameter = block.partition(" ")
        wrong.append(
            finding("b", bad=True, quantity=quantity, parameter=parameter, cause="sign", floors=floors - place)
        )
    made.findings = [each for each in made.findings if each.backend == "a"] + wrong
    made.training = []
    if diverges is not None:
        made.training = [structs.replace(training("b", bad=True), first_divergence=diverges, diverged="loss")]
    return made


def said(*problems: ProblemResult) -> list[str]:
    return [f"{note.name} {note.text}" for note in fault_notes(faults(run(*problems)))]


def test_problems_are_told_together_where_the_same_blocks_are_wrong_and_figures_have_their_problem():
    (one,) = said(off("p", "loss", "gradient W", floors=9.0), off("q", "loss", "gradient W", floors=70.0))
    assert one.startswith("b disagrees on p and q: wrong in loss (")
    assert "70.0 floors" in one
    assert "loss[1, 2] on q)" in one
    assert one.endswith(", and 1 more block")


def test_a_block_that_is_wrong_on_one_of_them_is_said_of_that_alone():
    one, other = said(off("p", "gradient W"), off("q", "loss", "gradient W"))
    assert one.startswith("b disagrees on p: wrong in gradient W[1, 2] (")
    assert "more block" not in one
    assert other.startswith("b disagrees on q: wrong in loss[1, 2] (")


def test_training_that_diverges_on_one_of_them_or_at_another_step_is_said_of_that_alone():
    found = faults(run(off("p", "loss", diverges=1), off("q", "loss"), off("r", "loss", diverges=7)))
    assert [each.problems for each in found] == [("p",), ("q",), ("r",)]
    assert [any("diverges" in why for why in each.reasons) for each in found] == [True, False, True]
    assert len(faults(run(off("p", "loss", diverges=1), off("r", "loss", diverges=1)))) == 1


def test_a_relation_of_two_ports_is_in_the_headline_where_it_holds_on_every_problem():
    def differ(name: str, relation: str) -> ProblemResult:
        made = problem(name, [], clock=False)
        made.findings = [finding(each, bad=True, cause="", quantity="loss", parameter="") for each in ("a", "b")]
        apart = Disagreement(quantity="loss", parameter="", floors=[[0.0, 9e9], [9e9, 0.0]])
        made.pairwise = Pairwise(backends=["a", "b"], matrix=[apart], outliers=[], own=[], relation=relation)
        return made

    twice, thrice = "b is twice a", "b is thrice a"
    assert f": {twice}; nothing here says" in clean(overview(run(differ("p", twice), differ("q", twice))).headline)
    headline = clean(overview(run(differ("p", twice), differ("q", thrice))).headline)
    assert twice not in headline
    assert thrice not in headline


def test_what_is_not_compared_on_some_has_their_names_and_a_diagnosis_says_whose_figures_it_has():
    one, other = problem("p", ["a", "b"], clock=False), problem("q", ["a", "b"], clock=False)
    one.not_given = [NotGiven(backend="a", quantity="hvp", reason="why", cure="how")]
    one.diagnoses, other.diagnoses = (
        [Diagnosis(name="half saturated", finding=f"{count} of 4 rows", cure="scale")] for count in (2, 3)
    )
    found = overview(run(one, other))
    assert "not compared: hvp of a on p" in clean(found.headline)
    assert "half saturated on p and q: on p: 2 of 4 rows." in " ".join(f"{n.name} {n.text}" for n in found.notes)
    other.not_given, other.diagnoses = one.not_given, one.diagnoses
    found = overview(run(one, other))
    assert "not compared: hvp of a." in clean(found.headline)
    assert "half saturated on p and q: 2 of 4 rows." in " ".join(f"{n.name} {n.text}" for n in found.notes)
