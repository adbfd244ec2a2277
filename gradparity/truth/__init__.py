"""The certified truth: numbers that are enclosures, and the derivative of a loss in them."""
