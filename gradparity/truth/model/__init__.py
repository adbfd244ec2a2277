"""Truth and noise floor of a user's loss, from its tape.

`truth` encloses the derivatives where time allows and says where it did not; `floor` evaluates the tape in extended
precision, rounded at random; `path` follows training. A loss comes as a function: loading it is the oracle's.
"""
