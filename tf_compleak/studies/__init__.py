"""The doors: `run` trains and compresses, `audit` opens files, `arrays` is given arrays."""
