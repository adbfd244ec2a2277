"""Orchestration: who does what when.

`session` is the table of contents: cases, a `crew` of workers, `problem` and `clock`, which share it, and the
`record`. What a command asks is decided once, in `plan`. Conclusions are drawn in `judge`; nothing is printed: an
observer is told.
"""
