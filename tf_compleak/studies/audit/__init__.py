"""Audits of models that exist already: files, labels, and who was trained on, in; a report out."""
