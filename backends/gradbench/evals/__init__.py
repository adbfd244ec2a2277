"""The evaluations, each a model: what GradBench's README of that name defines, with inputs of the same kind."""
