"""Results, as people read them: one file for each form."""
