def dotted(tree, prefix=""):
    """{"a": {"b": x}} as {"a.b": x}, the names of a module's state."""
    flat = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= dotted(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
