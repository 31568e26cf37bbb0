"""The command line: the only reader of flags."""
