"""What a report says, as plain records: every form renders the same facts.

No colours, no markup, no widths: and texts that came from elsewhere are as they came, for a form to escape.
"""
