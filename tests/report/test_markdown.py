"""The comment for a pull request: it fits, a bot finds it again, and nobody's names mean anything to Markdown."""

from __future__ import annotations

import re
from functools import cache

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from gradparity.report.markdown import MARKER, MOST_CHARACTERS, escaped, markdown
from gradparity.report.overview import overview
from gradparity.results import RunResult
from tests.report.samples import BACKENDS, HOSTILE, NAMES, finding, off, problem, results, run

#: CommonMark with GitHub's tables and strikethrough, and with raw HTML as GitHub takes it.
READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
#: The only HTML that is the comment's own.
OWN_HTML = re.compile(r"<!-- gradparity -->|</?details>|</?summary>|[^<>]")


@cache
def comment(name: str) -> str:
    """That of a sample."""
    return markdown(results()[name])


@cache
def tokens(text: str) -> list[Token]:
    """Every token of it, those inside of others too."""
    found = []
    for token in READER.parse(text):
        found += [token, *(token.children or ())]
    return found


def shown(text: str) -> str:
    """What a reader sees of it, more or less: the words."""
    return "".join(token.content for token in tokens(text) if token.type in ("text", "code_inline"))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_never_longer_than_a_comment_may_be_and_starts_with_its_marker(name: str):
    text = comment(name)
    assert len(text) < MOST_CHARACTERS == 65_536
    assert text.startswith("<!-- gradparity -->\n")
    assert MARKER == "<!-- gradparity -->"
    assert text.endswith("\n")


@pytest.mark.parametrize("name", ["run", "bench", "broken", "ported", "schema-1"])
def test_of_a_usual_run_it_is_short(name: str):
    assert len(comment(name)) < 8_000


@pytest.mark.parametrize("name", NAMES)
def test_no_html_is_in_it_but_its_own(name: str):
    for token in tokens(comment(name)):
        if token.type in ("html_block", "html_inline"):
            # A block of HTML goes on to a blank line: the title of a problem is in the same line as its summary.
            assert OWN_HTML.sub("", token.content) == "", token.content


@pytest.mark.parametrize("name", ["hostile", "crowded"])
def test_names_make_no_link_no_picture_no_code_and_no_heading(name: str):
    found = tokens(comment(name))
    kinds = {token.type for token in found}
    assert not kinds & {"link_open", "image", "s_open", "fence", "code_block", "blockquote_open", "hr"}
    assert [token.content for token in found if token.type == "code_inline"] == []
    assert [token.tag for token in found if token.type == "heading_open"] == ["h3"]
    assert [token.content for token in found if token.content == "bold"] == []


@pytest.mark.parametrize("name", NAMES)
def test_nobody_is_notified_and_no_issue_is_linked(name: str):
    # GitHub looks for both in the text that its reader of Markdown has made, where a backslash is gone.
    found = tokens(comment(name))
    assert [token.content for token in found if re.search(r"[@#]\w", token.content) and not token.children] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_row_of_a_table_has_as_many_cells_as_its_head(name: str):
    text = comment(name)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        counts = [len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()]
        assert len(set(counts)) == 1, table
    # And a reader of Markdown sees as many tables as were written.
    written = len(re.findall(r"^\|(?: -+:? \|)+$", text, re.MULTILINE))
    assert sum(token.type == "table_open" for token in tokens(text)) == written


@pytest.mark.parametrize("words", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("around", ["{}", "- **{}** failed", "| {} |\n| --- |\n| {} |", "x {} y"])
def test_words_from_elsewhere_are_text_wherever_they_stand(words: str, around: str):
    text = around.replace("{}", escaped(words))
    kinds = {token.type for token in tokens(text)}
    plain = {token.type for token in tokens(around.replace("{}", "word"))}
    assert kinds <= plain | {"text_special"}


@pytest.mark.parametrize("words", HOSTILE.values(), ids=HOSTILE.keys())
def test_words_from_elsewhere_are_seen_as_they_are(words: str):
    (inline,) = [token for token in READER.parse(escaped(words)) if token.type == "inline"]
    seen = "".join(token.content for token in inline.children or ()).replace("\u200b", "")
    kept = " ".join(words.split()).partition("\x1b")[0].strip()
    assert seen.startswith(kept)


def test_the_verdict_is_its_heading():
    fine = run(problem("toy", findings=[finding(name) for name in BACKENDS]))
    assert "\n### ✅ gradparity: All 6 backends agree on toy.\n" in markdown(fine)
    wrong = comment("broken")
    assert "\n### ❌ gradparity: " in wrong
    assert overview(results()["broken"]).off[0].backend in wrong.splitlines()[2]


def test_who_is_off_is_said_with_block_entry_size_and_cause():
    found = run(problem("toy", findings=[finding("jax"), off("torch", "float32 cast of an input")]))
    text = shown(markdown(found))
    assert (
        "torch is off on toy: wrong in gradient W[3] (2.7e+07 floors, 5.5e+07 ulp, 0.375 where 0.125 is true)" in text
    )
    assert "float32 cast of an input" in text


def test_who_failed_is_said_with_stage_and_reason():
    text = shown(comment("failures"))
    for name in BACKENDS:
        assert f"{name} failed in import on toy: no module of {name}" in text


def test_of_very_many_problems_the_first_screen_stays_and_the_tables_are_said_to_be_elsewhere():
    text = comment("crowded")
    assert text.endswith("_The tables of each problem are in report.html: they are too long for a comment._\n")
    assert "| backend | verdict |" in text
    assert "<details>" not in text
    assert max(map(len, text.splitlines())) < 8_000  # cut between lines: no escape and no cell is left open
    assert all(line.endswith("|") for line in text.splitlines() if line.startswith("|"))


def test_every_finding_of_a_usual_run_is_in_a_folded_table():
    result: RunResult = results()["run"]
    (toy,) = result.problems
    (folded,) = re.findall(r"<details><summary>toy</summary>(.*?)</details>", markdown(result), re.DOTALL)
    for found in toy.findings:
        assert f"{found.quantity} {found.parameter}".strip() in folded
        assert found.floors is not None
        assert f" {found.floors:.3g}" in folded


@pytest.mark.parametrize("name", NAMES)
def test_what_is_folded_is_folded_and_closed_again(name: str):
    text = comment(name)
    assert text.count("<details>") == text.count("</details>") == text.count("<summary>") == text.count("</summary>")
