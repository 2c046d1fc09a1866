"""`study.metric: val/top2`: the share of images whose class is one of the two likeliest."""

import numpy as np

from resnet_tl.metrics import Metric


def is_among(scored):
    """For each network and image, [M, N]."""
    likeliest_MN2 = np.argsort(scored.log_p_MNK, axis=-1)[..., -2:]
    return (likeliest_MN2 == scored.labels_N[:, None]).any(-1).astype(np.float64)


METRIC = Metric(
    name="top2",
    short="top-2",
    means="the share of images whose class is one of the two likeliest",
    better="max",
    unit="fraction",
    bounds=(0.0, 1.0),
    of=lambda scored: is_among(scored).mean(-1),
    of_images=is_among,  # of which the metric is the mean: so intervals for fresh images can be made
)
