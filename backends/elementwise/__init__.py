"""Derivatives of functions that act on each element, all elements at once, as each framework's users take them.

A module a framework, imported only by its own backend, with ``derivatives(f)``: from ``value``, ``reverse``,
``forward`` and ``second`` to functions of ``(x, y)``, arrays of one shape, that differentiate ``f`` in ``x``. Where
``together`` is there too, it gives all four at once, which costs one compilation in place of four. And with
``own_names()``: functions of the framework's own of which the namespace of a neutral loss has other forms.
"""
