"""What a derivative is, whatever a framework says: the reference values that verdicts are measured against."""
