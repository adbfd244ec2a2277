"""What would make a port agree: hypotheses tried on the port itself, by edits of its source, in its own process.

Each is a small change at lines that are under suspicion. Only one that makes the loss and every block of the gradient
agree, at every point that was asked about, is a finding. The text is changed in memory: no file is written, and the
user's modules are afterwards what they were. No framework is imported here.
"""
