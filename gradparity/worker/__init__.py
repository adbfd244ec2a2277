"""What runs inside a backend's process. Needs NumPy and msgspec only, and imports one framework: the backend's."""
