"""Identities that report what passes through them, one file a framework; nothing here imports one."""
