"""Numbers to conclusions: values, times and runs come in, findings with a verdict and a reason go out. Pure.

``verdicts`` holds values against the truth, ``consensus`` against each other where none is known (by ``distances``),
``training`` whole runs, ``divergence`` tapped values; ``causes`` says why a block is wrong, ``diagnoses`` what is the
matter with the problem itself (``curvature``, ``separation``), ``speed`` which backend to choose. Nothing is measured,
started or written here, and no framework is imported; limits stand beside the campaign that they come from.
"""
