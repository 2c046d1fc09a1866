"""What the metric of a W&B sweep means here."""

import re
from typing import Any

from resnet_tl.metrics import METRICS
from resnet_tl.option_text import brief

_SCORES = (
    (r"bacc|balanced_acc|balanced_accuracy", "balanced_accuracy"),
    (r"recall|sensitivity", "recall"),
    (r"ece|expected_calibration_error", "ece"),
    (r"brier|brier_score|brier_loss", "brier"),
    (r"prec1|prec_1|precision_1", "accuracy"),  # of the likeliest class, as ImageNet's scripts write it
    (r"precision", "precision"),
    (r"f1|fscore|f_score", "f1"),
    (r"auc|auroc|roc", "auroc"),
    (r"acc|accuracy|top1|top_1|acc1", "accuracy"),
    (r"err|error|err1|error_rate|error1", "error"),
    (r"loss|nll|ce|cross_entropy|crossentropy|bce|log_loss", "loss"),
)
"""Words in a metric's name and the score that they mean; the first that is found decides."""
_OTHERS = re.compile(
    r"_(pr|prc|pr_?auc|aupr|auprc|ap|map|(average|avg|mean)_precision"  # the area under precision over recall
    r"|micro|weighted|(per|mean|avg|average)_class|class_(mean|avg|average)|std|var|variance|gap|diff|pixel|token|word|iou|dice|jaccard|box|bbox|mask|class_\d+"
    r"|squared|absolute|percentage|(?<!expected_)calibration|[nr]*mse|mae|mape|l[12]|huber|hinge|focal|triplet|contrastive|balanced_err(or)?|kl|recon(struction)?"
    r"|top_?(?!_?1_)\d*"  # of the best five, say
    r"|(top|acc|accuracy|err|error|prec|precision|recall)_?(at_)?(?!1_)(k|\d+)|recall_(at_)?1)_"
)
"""Words of scores that are none of ours, though their names hold one: means over pixels, errors of a regression."""


def meant_metric(name: str, goal: Any) -> tuple[str, str]:
    """Finds the metric of a study that a sweep's metric means.

    Returns:
        The metric, and how the name was read.

    Raises:
        ValueError: it is none of ours, or its goal is not what is best of it; says why.
    """
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", name).lower()
    words = [word for word in re.split(r"[^a-z0-9]+", split) if word]
    # `epoch_val_loss` and `valacc`: a score is a word, or what ends one
    joined = "_" + "_".join(words) + "_"
    score = next((s for pattern, s in _SCORES if re.search(rf"(?:_|val|valid|test|train)(?:{pattern})_", joined)), None)
    if score is None or _OTHERS.search(joined):
        raise ValueError(f"the sweep's metric {brief(name)} is none of ours")
    best = "minimize" if score == "error" or METRICS[score].better == "min" else "maximize"
    if goal not in (None, best):
        raise ValueError(f"the goal of {brief(name)} must be {best}, but got {brief(goal)}")
    metric = "val/accuracy" if score == "error" else f"val/{score}"
    if score == "error":
        return metric, f"{name} is {metric} (the least error is the highest accuracy)"
    steers = " (only val may choose)" if "train" in words or "test" in words else ""
    return metric, f"{name} is {metric}{steers}"
