"""Doing work once and safely: stages, folders, locks, processes, progress; nothing of leakage."""
