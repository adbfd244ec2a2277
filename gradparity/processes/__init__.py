"""Start a process, ask it, limit it, end it: environment, interpreters, limits, deadlines.

`peer` is any process that answers on a pipe, `backend` that of a backend. What is asked is in `worker` and `oracle`;
what follows from an answer, or from none, is decided in `runner`.
"""
