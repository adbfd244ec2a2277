"""How a source of data is refused."""

from __future__ import annotations

import pytest

from gradparity.model_spec.data.datasets import load
from gradparity.model_spec.errors import InputError


def refusal(source: str, **options: object) -> str:
    """The message with which a source is refused: one line, and no foreign traceback behind it."""
    with pytest.raises(InputError) as caught:
        load(source, **options)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert "\n" not in str(caught.value)
    return str(caught.value)
