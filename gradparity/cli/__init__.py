"""The command line: words to settings, and exit codes.

`app` has the commands, `options` their options as Typer takes them, `starter` what ``gradparity new`` writes. Nothing
here measures or judges, and nothing slow is imported before a command runs.
"""
