"""The questions: rows and gains, cross-fitting, subsets, what each version adds, exposures."""
