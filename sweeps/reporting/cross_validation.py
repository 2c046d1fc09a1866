"""What a report says of a study whose images each seed cut into folds."""

NOT_FRESH = (
    "Fresh seeds cut the images anew and had no part in the search, but the images had: the winner may still be biased "
    "upward, and is not tested here against the others."
)
"""In place of what a confirmation shows where val and test are other images."""


def cut_told(folds: int) -> str:
    """How the images were cut."""
    return (
        f"Each seed cut all images anew into {folds} folds, stratified by class: in each of its {folds} fits one fold "
        "is test, the next is val and selects the epoch, and the others train, so that every image is test once. "
        "Scores are those of the predictions of all fits together."
    )


def chance_told(folds: int) -> str:
    """For which training sets intervals and tests hold, and what they leave out, for the notes of a table."""
    return (
        f"Each seed cut the images into {folds} folds anew; this holds for training sets of this size, "
        f"{_learnt(folds)} of the images. The same images chose the best trial, whose own score is a little too good."
    )


def not_covered(folds: int) -> str:
    """What intervals and tests take no account of."""
    return (
        f"Training sets of another size than {_learnt(folds)} of the images, and other images to learn from: the fits "
        "of all seeds and folds share theirs, so that intervals are approximate. Nor the choice among trials, but "
        "where p is said to allow for it."
    )


def _learnt(folds: int) -> str:
    return f"{(folds - 2) / folds:.0%}"
