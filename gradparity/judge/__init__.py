"""Numbers to conclusions. Pure: nothing is measured, started or written here."""
