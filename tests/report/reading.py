"""A page as a reader without scripts has it: a tree of elements, made by the standard library's parser alone."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from typing import Any

from gradparity.report.page import document
from tests.report.samples import results

#: Elements without an end tag, by the standard.
VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")
)  # fmt: skip
_PACKED = re.compile(r'(<script type="text/plain" id="\w+">)[A-Za-z0-9+/=]*(</script>)')


@dataclass
class Element:
    """One element with its attributes (``""`` for those without a value), children and text."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Element]:
        """This element and all below it, in the order of the page."""
        left = [self]
        while left:
            each = left.pop()
            yield each
            left += [child for child in reversed(each.children) if isinstance(child, Element)]

    def all(self, *tags: str) -> list[Element]:
        """All below with one of these tags."""
        return [each for each in self if each is not self and each.tag in tags]

    def get(self, name: str) -> str:
        """An attribute, or ``""``."""
        return self.attributes.get(name, "")

    @property
    def text(self) -> str:
        """All text in it, with single spaces."""
        return " ".join(" ".join(self._texts()).split())

    def _texts(self) -> Iterator[str]:
        for child in self.children:
            if isinstance(child, str):
                yield child
            else:
                yield from child._texts()


class _Reader(HTMLParser):
    """Builds the tree; an end tag that does not close the innermost element is an error."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("")
        self.open = [self.root]
        self.doctype = ""

    def handle_decl(self, decl: str) -> None:
        self.doctype = decl

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"an attribute twice in <{tag}> at {self.getpos()}: {names}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> at {self.getpos()} closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment at {self.getpos()}: {data}")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"a declaration at {self.getpos()}: {data}")


@cache
def source(name: str) -> str:
    """The page of a sample."""
    return document(results()[name])


def parsed(text: str) -> Element:
    """The tree of a page, without its two megabytes of base64."""
    reader = _Reader()
    reader.feed(_PACKED.sub(r"\1\2", text))
    reader.close()
    assert [element.tag for element in reader.open] == [""], "not closed"
    assert reader.doctype.lower() == "doctype html"
    return reader.root


@cache
def page(name: str) -> Element:
    """The tree of a sample's page."""
    return parsed(source(name))


def unpacked(text: str, name: str) -> bytes:
    """What a page carries compressed and in base64; nothing where it does not."""
    found = re.search(rf'<script type="text/plain" id="{name}">([A-Za-z0-9+/=]*)</script>', text)
    return gzip.decompress(base64.b64decode(found[1])) if found else b""


@cache
def figures(name: str) -> dict[str, Any]:
    """Every figure of a sample's page by the id of its place."""
    found: dict[str, Any] = json.loads(unpacked(source(name), "figures") or b"{}")
    return found


def cells(table: Element) -> list[list[Element]]:
    """The rows of the body, each with its cells."""
    (body,) = table.all("tbody")
    return [row.all("th", "td") for row in body.all("tr")]


def heads(table: Element) -> list[str]:
    """Its column heads."""
    (head,) = table.all("thead")
    return [each.text for each in head.all("th")]


def caption(table: Element) -> str:
    """Its caption."""
    (found,) = table.all("caption")
    return found.text
