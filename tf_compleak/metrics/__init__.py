"""Figures from scores: curves, rates and their confidence intervals."""
