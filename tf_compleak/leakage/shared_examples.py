"""Examples that shadows share with the target: refused where their lists tell who is a member.

An attack is fitted on a shadow's members and non-members. Where these are the target's too, it
knows them again, and finds members even if no version tells anything. What harms is not that
examples are shared, as in a common pool from which every model's members are drawn anew, but that
a shadow's list says something of the target's: what then can be guessed is measured as an AUC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tf_compleak.types.observations import Observations

LEVEL = 1e-5  # how often lists that were drawn independently are refused, at most
ABSENT, ASIDE, NON_MEMBER, MEMBER = range(4)  # what an example of the target is to a shadow


@dataclass(frozen=True, eq=False)
class Lists:
    """Whose examples a family was trained on: ids[N] with members bool[N], and ids aside."""

    ids: np.ndarray
    members: np.ndarray
    aside: np.ndarray

    @classmethod
    def of(cls, family: Observations) -> Lists | None:
        """Those of observations; None without ids."""
        if family.ids is None:
            return None
        aside = None if family.aside is None else family.aside.ids
        return cls(family.ids, family.members, family.ids[:0] if aside is None else aside)

    def roles(self, ids: np.ndarray) -> np.ndarray:
        """int64[M]: what each of these examples is to this family."""
        roles = np.full(len(ids), ABSENT)
        roles[np.isin(ids, self.aside)] = ASIDE
        roles[np.isin(ids, self.ids[~self.members])] = NON_MEMBER
        roles[np.isin(ids, self.ids[self.members])] = MEMBER
        return roles


def guess_auc(roles: np.ndarray, members: np.ndarray) -> float:
    """AUC of the best guess at membership (bool[N]) by roles (int64[N]) alone: 0.5 to 1.

    Every role is scored by the share of members among its examples.
    """
    inside, outside = (np.bincount(roles[of], minlength=4) for of in (members, ~members))
    order = np.argsort(inside / np.maximum(inside + outside, 1), kind="stable")
    inside, outside = inside[order] / inside.sum(), outside[order] / outside.sum()
    below = np.cumsum(outside) - outside
    return float((inside * (below + outside / 2)).sum())


def by_chance(num_members: int, num_others: int, num_shadows: int = 1, num_roles: int = 2) -> float:
    """The AUC that lists drawn independently exceed with a probability of `LEVEL` at most.

    With d the differences of the roles' shares p among members and non-members, the AUC is 1/2 and
    the sum of d times the roles' mean ranks, whose variance is (1 - 1 / K^2) / 12 at most for K
    roles; the sum of d^2 / p is 1/M + 1/N times a chi-square of K - 1 degrees of freedom; the rest
    is the inequality of Cauchy and Schwarz. So it holds for the best order of the roles.
    """
    from scipy import special

    if num_roles < 2:
        return 0.5
    chi_square = special.chdtri(num_roles - 1, LEVEL / num_shadows)
    ranks = (1 - num_roles**-2) / 12
    return min(1.0, 0.5 + float(ranks * chi_square * (1 / num_members + 1 / num_others)) ** 0.5)


def harmful(target: Lists, shadows: Sequence[Lists | None]) -> dict[int, str]:
    """What is wrong with each shadow whose lists tell the target's membership, by its number."""
    count = int(target.members.sum())
    sizes = count, len(target.members) - count
    faults = {}
    for index, shadow in enumerate(shadows):
        if shadow is None:
            continue
        roles = shadow.roles(target.ids)
        auc = guess_auc(roles, target.members)
        most = by_chance(*sizes, len(shadows), len(np.unique(roles)))
        if auc > most:
            faults[index] = _fault(roles, target.members, auc, most)
    return faults


def _fault(roles: np.ndarray, members: np.ndarray, auc: float, most: float) -> str:
    counts = [
        f"{int((roles[side] == role).sum())} of {int(side.sum())} {of} are its {kind}"
        for side, of in ((members, "members of the target"), (~members, "non-members"))
        for role, kind in ((MEMBER, "members"), (NON_MEMBER, "non-members"))
        if (roles[side] == role).any()
    ]
    return (
        f"its lists tell the target's ({', '.join(counts) or 'what it was asked about'}): AUC "
        f"{auc:.3f} from them alone, independent lists give {most:.3f} at most; attacks know these "
        "examples again, whatever the versions tell"
    )
