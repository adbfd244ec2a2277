"""What an atlas comes to, and how it is shown: `summary` as a record, `terminal` its worst, `page` all of it."""
