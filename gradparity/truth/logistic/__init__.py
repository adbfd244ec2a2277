"""Truth and noise floor of the built-in model, from its closed form."""
