"""What a report says, as plain records: every form renders the same facts."""
