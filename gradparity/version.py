"""The version, in one place: `gradparity.__version__`, the wheel's, and that of every result."""

__version__ = "0.1.0"
