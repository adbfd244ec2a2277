"""One function of an array namespace, of one number or of two, as data: its arguments, and which of them moves.

Frameworks and the truth call it by the same few lines, each with the names of its own namespace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, TypeAlias

#: The argument that the derivative is by, and one that is held still.
MOVING, HELD = "x", "y"
Argument: TypeAlias = str | int | float


@dataclass(frozen=True)
class Function:
    """A call of a function, elementwise in ``x``, and in ``y`` where it has two arguments.

    Attributes:
        label: what it is called in reports: ``polygamma(1, x)``.
        name: in the namespace, dots included: ``linalg.norm``.
        arguments: in order: `MOVING`, `HELD`, or a plain number.
        options: by name.
        of_pair: it reduces or sorts the pair of both along an axis, and the first element of the result counts.
        own: of a framework's own functions by names that the namespace has in another form.
        aliases: other names of the namespace for the same function.
    """

    label: str
    name: str
    arguments: tuple[Argument, ...] = (MOVING,)
    options: dict[str, bool | int | float] = field(default_factory=dict)
    of_pair: bool = False
    own: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def has_held(self) -> bool:
        """Whether there is a second argument, which is held still."""
        return self.of_pair or HELD in self.arguments

    def within(self, xp: Any) -> Callable[[Any, Any], Any]:
        """The function of ``x`` and ``y``, arrays of one shape, by the names of a namespace.

        Raises:
            AttributeError: the namespace has no such name.
        """
        function = reduce(getattr, self.name.split("."), xp)

        def called(x: Any, y: Any) -> Any:
            if self.of_pair:
                found = function(xp.stack([x, y], axis=-1), axis=-1, **self.options)
                return found[..., 0] if found.ndim > x.ndim else found
            given = {MOVING: x, HELD: y}
            return function(
                *(given[each] if isinstance(each, str) else each for each in self.arguments), **self.options
            )

        return called
