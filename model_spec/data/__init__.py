"""Data sets, and the readers of users' files: a table of finite numbers, or one line that says what is wrong.

NumPy only when imported: scikit-learn, Polars and psutil are loaded where they are used. Nothing that is read is run.
"""
