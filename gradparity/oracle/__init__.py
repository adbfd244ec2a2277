"""Who knows the truth of a problem: here for the built-in models, in a process of its own for a user's.

`protocol` is what a run asks, `client` the parent's side of that process, `server` its inside, `messages` what goes
between. The server runs the user's code, the client never does. Nothing is judged here.
"""
