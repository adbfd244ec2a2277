"""The user's own model: its file loaded, and a problem drawn from it.

It runs the user's code: processes of their own do that (`gradparity.oracle`, `gradparity.worker`), never the parent.
"""
