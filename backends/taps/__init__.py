"""Identities that report what passes through them, one file a framework; nothing here imports one."""

from gradparity.backends.protocol import Sink


class Passage:
    """One call of a tap: which occurrence of its name it is, once the value is known."""

    def __init__(self, sink: Sink, name: str) -> None:
        self.sink, self.name, self.occurrence = sink, name, -1
