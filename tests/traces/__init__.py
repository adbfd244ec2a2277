"""Records of operations, and where two of them part."""
