"""The JSON Schema of ``results.json``, made from the types that write it: ``python -m gradparity.results.schema``.

What the docstrings of those types say of a field is its description there. The committed file beside this one is what
the package ships; a test holds the two equal.
"""

from __future__ import annotations

import re
import sys
from typing import Any

import msgspec

from gradparity.results.run import SCHEMA_VERSION, RunResult

#: A name and not an address: nothing is fetched.
_ID = f"urn:gradparity:results:{SCHEMA_VERSION}"
#: Where one sentence of a docstring ends and another begins.
_SENTENCE_ENDS = re.compile(r"(?<=\.) (?=[`A-Z])")


def schema() -> dict[str, Any]:
    """The schema as plain values, JSON Schema draft 2020-12."""
    (whole,), definitions = msgspec.json.schema_components([RunResult], ref_template="#/$defs/{name}")
    described = {name: _described(component) for name, component in definitions.items()}
    described["RunResult"]["properties"]["schema_version"]["const"] = SCHEMA_VERSION
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": _ID,
        "title": "results.json of gradparity",
        "description": f"One run, schema version {SCHEMA_VERSION}. Names end in their units; a figure that is not a "
        "finite number is null. A reader should expect further fields: they are added without a new version.",
        **whole,
        "$defs": described,
    }


def encoded() -> bytes:
    """The schema as the file has it."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=1) + b"\n"


def _described(component: dict[str, Any]) -> dict[str, Any]:
    """The component with its docstring unwrapped, and with what that says of each field at the field."""
    text = " ".join(component.get("description", "").split())
    properties = {}
    for name, field in component.get("properties", {}).items():
        named = re.compile(rf"``{name}(?:``|\[)")
        said = " ".join(sentence for sentence in _SENTENCE_ENDS.split(text) if named.search(sentence))
        properties[name] = {"title": name, **field, **({"description": said} if said else {})}
    return {**component, "description": text, "properties": properties}


if __name__ == "__main__":
    sys.stdout.buffer.write(encoded())
