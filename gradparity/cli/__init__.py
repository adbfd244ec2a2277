"""The command line: words to settings, and exit codes. Nothing here measures or judges."""
