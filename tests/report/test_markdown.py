"""The comment on a pull request: short enough, and nobody else's words mean anything in it."""

from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt

from gradparity.report.markdown import MARKER, MOST_CHARACTERS, escaped, markdown
from tests.report.samples import BREAKING, NASTY, samples

SAMPLES = samples()
#: The only HTML that is ours.
_OURS = re.compile(r"</?(details|summary)>|<!-- gradparity -->")


@pytest.mark.parametrize("name", SAMPLES)
def test_it_fits_a_comment_and_can_be_found_again(name: str):
    written = markdown(SAMPLES[name])
    assert len(written) <= MOST_CHARACTERS
    assert written.startswith(MARKER)


@pytest.mark.parametrize("name", ["usual", "one", "off", "run"])
def test_a_usual_run_is_read_at_a_glance(name: str):
    assert len(markdown(SAMPLES[name])) < 8000


@pytest.mark.parametrize("name", SAMPLES)
def test_it_has_no_html_but_its_own_folds_and_every_row_has_as_many_cells_as_the_heads(name: str):
    written = markdown(SAMPLES[name])
    tokens = MarkdownIt("commonmark").enable("table").parse(written)
    inline = [child for token in tokens for child in token.children or []]
    html = [token.content for token in [*tokens, *inline] if token.type in ("html_block", "html_inline")]
    for each in html:
        # What stands between the tags of a summary is text that was escaped.
        assert re.sub(r"<summary>[^<>]*</summary>", "", _OURS.sub("", each)).strip("\n").count("<") == 0
    rows = re.findall(r"^\|.*\|$", written, re.MULTILINE)
    tables: list[list[str]] = []
    for line in written.splitlines():
        if line.startswith("| "):
            tables[-1].append(line) if tables and tables[-1] else tables.append([line])
        else:
            tables.append([])
    assert rows or name == "empty"
    for table in filter(None, tables):
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in table}
        assert len(cells) == 1


def test_what_stands_in_a_comment_is_not_ours_to_obey():
    written = markdown(SAMPLES["hostile"])
    tokens = MarkdownIt("commonmark").enable("table").parse(written)
    inline = [child for token in tokens for child in token.children or []]
    assert not [token for token in inline if token.type in ("link_open", "image")]
    assert "@octocat" not in written
    assert "<script" not in written.replace("\\<script", "")
    assert "\x1b" not in written


@pytest.mark.parametrize("words", [NASTY, BREAKING, "a|b", "`x`", "<!-- x -->", "a\nb", "# x", "- x"])
def test_escaped_words_are_one_paragraph_of_text(words: str):
    tokens = MarkdownIt("commonmark").enable("table").parse(escaped(words))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert {child.type for child in tokens[1].children or []} <= {"text", "text_special"}
