"""The door that trains: its stages, their plan, and the way from files to a report."""
