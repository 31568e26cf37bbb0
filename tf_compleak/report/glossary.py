"""What the words of a report mean, for readers who do not know the field, a sentence each."""

from __future__ import annotations

from tf_compleak.types import STRONGEST
from tf_compleak.types.findings import Findings

TERMS = {
    "Member": "An example that the model was trained on. A non-member was held out.",
    "AUC": "How often a random member gets a higher score than a random non-member: 0.5 is "
    "guessing, 1 is certainty. It speaks of the average example, not of the most exposed ones.",
    "FPR": "False positive rate: the share of non-members that are called members in error.",
    "TPR": "True positive rate: the share of members that are named. TPR@1%: named while at most "
    "1% of non-members are called members in error.",
    "Interval": "Where the true figure lies with the level that is named, mostly 95%: few examples "
    "give a wide one.",
    "Gain": "How much more several versions tell than the best one of them alone, on the same "
    "examples.",
    "NR": "The attacker sees one version.",
    "SR": "The attacker sees the original and one version more.",
    "MR": "The attacker sees several versions, with or without the original.",
    "Epsilon": "The bound of differential privacy. An attack shows from below how large it must "
    "be; 0 says nothing.",
    "Shadow": "A model like the one that is attacked, trained by the attacker to learn from.",
    "Exposure": "What of its confidences the app shows: all of them, the highest, the label alone.",
    "Null run": "An attack on membership that was drawn anew and means nothing: it must not do "
    "better than guessing.",
    "Blind baseline": "A classifier that sees the inputs but no model: where it tells members from "
    "non-members, the two sets differ, and no attack on them means anything.",
}
GLOBAL = " One threshold for all classes."
CLASSIFIERS = {"lr": "a logistic regression", "rf": "a random forest", "mlp": "a perceptron"}
ATTACKS = {
    STRONGEST: "All attacks of the study as one; how much each counts is learned on the shadows.",
    "confidence": "How sure the version is of the right label, a threshold for each class.",
    "loss": "How small the version's loss is, a threshold for each class.",
    "entropy": "How sure the version is of any label, a threshold for each class.",
    "modified-entropy": "Entropy that counts the right label, a threshold for each class.",
    "samia": "A self-attention network on confidences and how they move under noise.",
    "mr": "A network over all versions, on what attacks on each of them say.",
    "mr-rf": "As mr, on the better of a logistic regression and a random forest for each version.",
    "tabular": "A logistic regression on how sure each version is and how versions differ.",
    "qmia": "How far above what non-members of its class reach; fitted on non-members alone.",
    "calibrated": "How much surer the model is than others that did not see the example.",
    "base": "The loss beside that of reference models.",
    "rmia": "The gain over reference models, beside that of examples from the population.",
    "lira-offline": "How unlikely it is that models without the example are as sure as this one.",
    "lira-online": "Is this likelier for shadows with the example than for those without it?",
    "lira-boosted": "Reference models learn how to weigh what the likelihood ratio multiplies.",
}
ATTACKS |= {
    f"{name}-global": ATTACKS[name].split(", a ")[0] + "." + GLOBAL
    for name in ("confidence", "loss", "entropy", "modified-entropy")
}
for _end, _classifier in CLASSIFIERS.items():
    ATTACKS |= {
        f"shokri-{_end}": f"{_classifier.capitalize()} on the sorted confidences.",
        f"nasr-{_end}": f"{_classifier.capitalize()} on the confidences and the label.",
        f"sr1-{_end}": f"{_classifier.capitalize()} on the confidences of the original and one "
        "version.",
        f"sr2-{_end}": f"{_classifier.capitalize()} on the confidences of the original and one "
        "version, and the label.",
    }


def words(report: Findings) -> dict[str, str]:
    """The terms of a report and its attacks with what they mean, in reading order."""
    attacks = dict.fromkeys(row.attack for row in report.results)
    known = {attack: ATTACKS[attack] for attack in attacks if attack in ATTACKS}
    return {**TERMS, **known}


def meaning(word: str) -> str:
    """The sentence on a term or an attack, "" for words that are not explained."""
    return TERMS.get(word) or ATTACKS.get(word, "")


def term(text: str) -> str:
    """The term that a head of a table or a title begins with, "" where it is none."""
    word = text.partition("@")[0].partition(":")[0]
    return next((term for term in TERMS if term.lower() == word.lower()), "")


def anchor(word: str) -> str:
    """The id of a term or an attack in the glossary of a page."""
    kind = "word" if word in TERMS else "attack"  # the tier MR is not the attack mr
    return f"{kind}-{word.lower().replace(' ', '-')}"
