"""Results of real runs (tests/data/README.md), for tests of whatever reads them."""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).parent / "data"
#: Files of the schema of today.
SAMPLES = tuple(DATA / f"{name}.json" for name in ("run", "bench", "broken", "ported"))
#: A file of the schema before.
SCHEMA_2 = DATA / "schema-2.json"
