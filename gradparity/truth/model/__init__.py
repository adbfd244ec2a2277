"""Truth and noise floor of a user's loss, from its tape."""
