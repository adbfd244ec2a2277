"""Why a block disagrees: one explanation after the other, tried on the numbers alone. Pure."""
