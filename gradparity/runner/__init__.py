"""Orchestration: who does what when. Problems, workers and the clock meet here; conclusions are drawn in `judge`."""
