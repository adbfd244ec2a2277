"""Truth and noise floor of the built-in models, from their closed form.

`truth` finds both: certified by `closed_form`, which the series engine confirms on `neutral`, or by `extended` where
that takes too long; `floor` and `underflow` say what roundings move; `path` follows training. No user's model.
"""
