"""What is computed: the built-in models (`spec`), problems (`problem`), data sets (`data`), a user's model (`user`).

To import it takes the standard library and NumPy; what else a file needs to be read is imported where it is read.
No framework, no process, no verdict.
"""
