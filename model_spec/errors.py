"""The one error for input that a person can put right."""

from functools import partial


class InputError(ValueError):
    """Input at fault: which rule it breaks, what came, what was expected, and what to do.

    Library code raises it; only the command line turns it into exit code 2.
    """

    def __init__(self, rule: str, *, got: object, expected: str, cure: str = "") -> None:
        self.rule = rule
        self.got = str(got)
        self.expected = expected
        self.cure = cure
        message = f"{rule}: got {self.got}, expected {expected}."
        super().__init__(f"{message} {cure}" if cure else message)

    def __reduce__(self) -> tuple[object, ...]:
        return partial(InputError, self.rule, got=self.got, expected=self.expected, cure=self.cure), ()
