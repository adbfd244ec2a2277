"""What a derivative is, whatever a framework says: the reference values that verdicts are measured against.

``numbers`` and ``xp`` are the arithmetic, ``derivatives`` what is proven with it; ``logistic`` and ``model`` find the
truth of a built-in model and of a user's loss, and neither knows the other. `reference.Reference` and
`trajectory.Trajectory` are what they find. No framework is imported here, no process started, and nothing judged.
"""
