"""What a network's outputs are worth. Averages over classes are macro: every class counts the same.

Axes: N images, K classes.
"""

import torch
from torch import Tensor


def confusion_KK(predicted_N: Tensor, labels_N: Tensor, num_classes: int) -> Tensor:
    """Counts: row = true class, column = predicted class; int64 [K, K]."""
    return torch.bincount(labels_N * num_classes + predicted_N, minlength=num_classes**2).view(num_classes, num_classes)


def auroc_K(scores_NK: Tensor, labels_N: Tensor) -> Tensor:
    """Area under the ROC curve of each class against the rest, float64 [K].

    Source: the Mann-Whitney statistic with average ranks for ties (Hanley and McNeil 1982, section II).
    """
    areas = []
    for label in range(scores_NK.shape[1]):
        positive_N = labels_N == label
        num_positive = int(positive_N.sum())
        num_negative = len(labels_N) - num_positive
        _, inverse, counts = scores_NK[:, label].double().unique(return_inverse=True, return_counts=True)  # type: ignore[no-untyped-call]
        ends = counts.cumsum(0)
        rank_N = (ends - (counts - 1) / 2.0)[inverse]
        total = rank_N[positive_N].double().sum() - num_positive * (num_positive + 1) / 2
        areas.append(total / (num_positive * num_negative))
    return torch.stack(areas)


def evaluate(logits_NK: Tensor, labels_N: Tensor) -> tuple[dict[str, float], list[list[int]]]:
    """All metrics of one split.

    Args:
        logits_NK: one logit per class; a binary network's single logit z as [0, z].
        labels_N: true classes; each class occurs.

    Returns:
        loss (mean negative log-likelihood, unweighted), accuracy, precision, recall, f1, auroc as fractions, and the
        confusion matrix. A class that is never predicted has precision 0.
    """
    logits_NK, labels_N = logits_NK.double().cpu(), labels_N.cpu()
    log_p_NK = logits_NK.log_softmax(1)
    counts_KK = confusion_KK(logits_NK.argmax(1), labels_N, logits_NK.shape[1])
    hits_K = counts_KK.diagonal().double()
    predicted_K, true_K = counts_KK.sum(0), counts_KK.sum(1)
    precision_K = hits_K / predicted_K.clamp_min(1)
    recall_K = hits_K / true_K.clamp_min(1)
    f1_K = 2 * hits_K / (predicted_K + true_K).clamp_min(1)
    values = {
        "loss": torch.nn.functional.nll_loss(log_p_NK, labels_N),
        "accuracy": hits_K.sum() / len(labels_N),
        "precision": precision_K.mean(),
        "recall": recall_K.mean(),
        "f1": f1_K.mean(),
        "auroc": auroc_K(log_p_NK, labels_N).mean(),
    }
    return {name: float(value) for name, value in values.items()}, counts_KK.tolist()
