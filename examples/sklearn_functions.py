r"""A scikit-learn model of your own, whose versions are functions: nothing is exported.

    tf-compleak run --family=examples/sklearn_functions.py:Forest \
        --versions=original,half,rounded

Functions are asked where they were trained, once about every example of the study; attacks that ask
about changed inputs (samia, copies) need files.
"""

import numpy as np
from sklearn.ensemble import RandomForestClassifier


class Forest:
    def make(self, members, validation, folder, seed):
        x, y = members
        forest = RandomForestClassifier(30, random_state=seed % 2**32)
        forest.fit(x.reshape(len(x), -1), y)

        def half(x):  # a smaller version: every second tree
            trees = forest.estimators_[::2]
            return np.mean([tree.predict_proba(x.reshape(len(x), -1)) for tree in trees], axis=0)

        def original(x):
            return forest.predict_proba(x.reshape(len(x), -1))

        return {
            "original": original,
            "half": half,
            "rounded": lambda x: np.round(original(x), 1),
        }
