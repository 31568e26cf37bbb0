"""What remedies change in the trainings of a study, and in the fine-tuning of its versions."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tf_compleak.studies import remedies
from tf_compleak.studies.remedies import DpSgd, Remedy
from tf_compleak.studies.run.architecture import spec
from tf_compleak.studies.run.run_stages import Training
from tf_compleak.studies.study import Study


def remedy_of(study: Study) -> Remedy | None:
    """The remedy that a study is under; None for a plain one."""
    return remedies.parse(study.remedy) if study.remedy else None


def loss_of(study: Study):
    """The loss of models and of fine-tuning; None for the cross-entropy."""
    from tf_compleak.models import losses

    match remedy_of(study):
        case remedies.LabelSmoothing(share):
            return losses.LabelSmoothing(share)
        case remedies.Distillation(temperature):
            return losses.TeacherAnswers(temperature)
    return None


def privacy_of(study: Study):
    """What makes its training DP-SGD, the least noise for its epsilon; None for none."""
    from tf_compleak.metrics import accountant
    from tf_compleak.models.trainer import Privacy

    remedy = remedy_of(study)
    if not isinstance(remedy, DpSgd):
        return None
    noise = accountant.noise_multiplier(remedy.epsilon, *_sampled(study), _delta(study, remedy))
    return Privacy(noise, remedy.norm, study.num_members)


def privacy_facts(study: Study) -> dict[str, Any]:
    """What a training by DP-SGD spent; {} for another one."""
    from tf_compleak.metrics import accountant

    remedy, privacy = remedy_of(study), privacy_of(study)
    if privacy is None:
        return {}
    (rate, steps), delta = _sampled(study), _delta(study, remedy)
    spent = accountant.epsilon(privacy.noise_multiplier, rate, steps, delta)
    facts = dataclasses.asdict(privacy)
    return {"privacy": {"epsilon": spent, "delta": delta, "rate": rate, "steps": steps, **facts}}


def _delta(study: Study, remedy: DpSgd) -> float:
    from tf_compleak.metrics import accountant

    return remedy.delta or accountant.default_delta(study.num_members)


def _sampled(study: Study) -> tuple[float, int]:
    """How likely an example is in a step, and how many steps there are."""
    from tf_compleak.models import private

    rate, steps = private.sampled(study.batch_size, study.num_members)
    return rate, study.epochs * steps


def taught(source, family: str) -> tuple[np.ndarray, np.ndarray]:
    """A family's members with what it is trained to say of them.

    Inputs, and labels int64[N]; or, under distillation, the answers f32[N, C] of the family's plain
    model on these members, at the temperature.
    """
    x, y = source.take(family, source.splits[family].members)
    if source.teacher is None:
        return x, y
    return x, _answers(source, family, x)


def _answers(source, family: str, x: np.ndarray, batch: int = 512) -> np.ndarray:
    import tensorflow as tf

    from tf_compleak.models import build

    folder = Training(family).stage(source.teacher).folder()
    with np.load(folder / "weights.npz", allow_pickle=False) as saved:
        weights = [saved[key] for key in sorted(saved.files)]
    teacher = build(spec(source.teacher))
    teacher.set_weights(weights)
    parts = [teacher(x[i : i + batch], training=False) for i in range(0, len(x), batch)]
    logits = tf.cast(tf.concat(parts, axis=0), tf.float32)
    return tf.nn.softmax(logits / remedy_of(source.study).temperature).numpy()


def note(study: Study, facts: dict[str, Any]) -> str:
    """What a remedy did to the target's training, in words; `facts` of its stage."""
    match remedy_of(study):
        case DpSgd(norm=norm):
            spent = facts["privacy"]
            return (
                f"epsilon {spent['epsilon']:.2f} at delta {spent['delta']:.2g} for the presence of "
                f"an example (dp-accounting's upper bound): noise {spent['noise_multiplier']:.3f} "
                f"times the norm {norm:g}, {spent['steps']} steps, each example in a step with "
                f"probability {spent['rate']:.3g}; batch normalization kept at mean 0, variance 1"
            )
        case remedies.LabelSmoothing(share):
            return f"{share:g} of every label spread over all classes, in fine-tuning too"
        case remedies.EarlyStopping(patience):
            return (
                f"stopped after {facts['epochs']} of {study.epochs} epochs ({patience} without a "
                "better validation accuracy); fine-tuning as without it"
            )
        case remedies.Distillation(temperature):
            return (
                "trained anew on the plain model's answers on its members, at temperature "
                f"{temperature:g}, instead of labels, in fine-tuning too"
            )
    raise AssertionError(study.remedy)
