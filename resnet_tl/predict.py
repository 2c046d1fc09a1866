"""Classifies images with a stored network.

    python -m resnet_tl.predict checkpoint=FOLDER images=FILE_OR_FOLDER [out=predictions.csv] [device=cpu]
    python -m resnet_tl.predict checkpoint=FOLDER images=[a.png,b.png]
    python -m resnet_tl.predict checkpoint=FOLDER images=x.npy
    python -m resnet_tl.predict checkpoint=[FOLDER,FOLDER] images=…

Prints a table, and writes `out` with the probability of every class, image by image, so that a million images take no
more memory than a thousand. On a terminal the table ends after 100 images, and counts of each predicted class follow;
a pipe gets all lines. Images are brought to the network's own size, as those of the training were. Those that cannot be
read are named at the end, and the exit status is 1; the others have their results all the same.

`images=x.npy` is an array as `data.source=arrays` takes it: [N, H, W] or [N, H, W, C], whole numbers or floats in
[0, 1]; its images are named by their index. Of several networks, which must have the same classes and read images
alike, the probabilities are averaged. `calibrated=true` divides the logits by the temperature that resnet_tl.evaluate
fitted; the predicted classes stay the same.
"""

import contextlib
import sys
from pathlib import Path

from resnet_tl import cli
from resnet_tl.errors import DataError
from resnet_tl.option_text import parse_words


def main() -> int:
    """`python -m resnet_tl.predict`."""
    words = sys.argv[1:]
    if not words or "--help" in words or "-h" in words:
        print((__doc__ or "").strip())
        return 0
    values = parse_words(words, literal=cli.LITERAL)
    cli.require(values, ("checkpoint", "images", "out", "device", "calibrated"), ("checkpoint", "images"))
    cli.flags(values, ("calibrated",))
    device = str(values.get("device", "cpu"))
    cli.check_device(device)
    if "out" in values and not Path(values["out"]).absolute().parent.is_dir():
        raise DataError(f"`out` must be in a folder that exists, but got {values['out']}.")
    from resnet_tl.data.finder import told
    from resnet_tl.inference.answers import answers
    from resnet_tl.inference.calibrate import calibrated
    from resnet_tl.inference.pictures import find_pictures
    from resnet_tl.inference.predictor import Predictor, checkpoints_of, predictor_of
    from resnet_tl.inference.progress import Progress
    from resnet_tl.inference.rows import Lines, csv_rows, probabilities, probability_columns

    folders = checkpoints_of(values["checkpoint"])
    found = find_pictures(values["images"])
    predictor: Predictor = predictor_of(folders, device=device)
    if values.get("calibrated"):
        predictor = calibrated(predictor)
    pictures, classes = found.pictures, predictor.classes
    lines = Lines(classes, max(len(picture.name) for picture in pictures), on_terminal=sys.stdout.isatty())
    bad: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        header = ["image", "class", *probability_columns(classes)]
        rows = stack.enter_context(csv_rows(Path(values["out"]), header)) if "out" in values else None
        tell = stack.enter_context(Progress())
        for done, (picture, answer) in enumerate(zip(pictures, answers(predictor, pictures), strict=True), 1):
            tell(done, len(pictures))
            if answer.log_p_K is None:
                bad[picture.name] = str(answer.bad)
                continue
            lines.add(picture.name, answer.log_p_K)
            if rows is not None:
                rows.writerow([picture.name, classes[int(answer.log_p_K.argmax())], *probabilities(answer.log_p_K)])
    lines.finish(values.get("out"))
    if "out" in values:
        print(f"Probabilities are in {values['out']}.")
    if found.passed_over:
        print(told(found.passed_over))
    if bad:
        print(f"{len(bad)} of {len(pictures)} images cannot be classified:", file=sys.stderr)
        print("\n".join(f"  {name} {reason}" for name, reason in bad.items()), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    cli.entry(main)
