"""The certified namespace: what a loss calls as ``xp``."""
