"""What a report says of a study whose images each seed cut into folds."""

from sweeps.records import StudyRecord


def training_size(about: StudyRecord) -> int:
    """Images that one fit learnt from, about: all but two folds."""
    return round(about.data.num_images["train"] * (about.folds - 2) / about.folds)


def cut_told(about: StudyRecord) -> str:
    """How the images were cut, for a paragraph."""
    return (
        f"Each seed cut all images anew into {about.folds} folds, stratified by class: in each of its {about.folds} "
        "fits one fold is test, the next is val and selects the epoch, and the others train, so that every image is "
        "test once. Scores are those of the predictions of all fits together."
    )


def chance_told(about: StudyRecord) -> str:
    """For which training sets intervals and tests hold, for the notes of a table."""
    return (
        f"Each seed cut the images into {about.folds} folds anew; this holds for training sets of this size, about "
        f"{training_size(about):,} images."
    )


def not_covered(about: StudyRecord) -> str:
    """What intervals and tests take no account of."""
    return (
        f"Training sets of another size than about {training_size(about):,} images, and other images to learn from: "
        "the fits of all seeds and folds share theirs, so that intervals are approximate. Nor the choice among trials, "
        "but where p is said to allow for it."
    )
