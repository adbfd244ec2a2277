"""Certified numbers: balls, truncated series of them, enclosures, and the tape of what was computed."""
