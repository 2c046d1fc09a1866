"""Classifies images with a stored network.

    python -m resnet_tl.predict checkpoint=FOLDER images=FILE_OR_FOLDER [out=predictions.csv] [device=cpu]
    python -m resnet_tl.predict checkpoint=FOLDER images=[a.png,b.png]
    python -m resnet_tl.predict checkpoint=FOLDER images=x.npy
    python -m resnet_tl.predict checkpoint=[FOLDER,FOLDER] images=…
    python -m resnet_tl.predict checkpoint=ENSEMBLE images=…
    python -m resnet_tl.predict checkpoint=FOLDER images=… out_dir=pictures [explain=gradcam] [contact=true]

Prints a table, and writes `out` with the probability of every class, image by image, so that a million images take no
more memory than a thousand. On a terminal the table ends after 100 images, and counts of each predicted class follow;
a pipe gets all lines. Images are brought to the network's own size, as those of the training were. Those that cannot be
read are named at the end, and the exit status is 1; the others have their results all the same.

`images=x.npy` is an array as `data.source=arrays` takes it: [N, H, W] or [N, H, W, C], whole numbers or floats in
[0, 1]; its images are named by their index. Of several networks, which must have the same classes and read images
alike, the probabilities are averaged. `calibrated=true` divides the logits by the temperature that resnet_tl.evaluate
fitted; the predicted classes stay the same.

`explain=gradcam` writes `out_dir/NAME.gradcam.png` for each image: what the network saw of it, with heat where it saw
the predicted class. The heat is as coarse as the network's last maps: 7 places a side of 224 pixels, 2 of 64, and of 32
pixels a single one, which says nothing. `contact=true` writes pages of thumbnails with the predictions,
`out_dir/contact-0001.png` and so on.
"""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resnet_tl import cli
from resnet_tl.command import command, entry, flags, require
from resnet_tl.device import check_device
from resnet_tl.errors import ConfigError
from resnet_tl.option_text import expand, parse_words


def _check(values: dict[str, Any]) -> None:
    """Checks what each option may be, and what goes together."""
    flags(values, ("calibrated", "contact"))
    problems = []
    if values.get("explain") not in (None, "none", "gradcam"):
        problems.append(f"`explain` must be gradcam or none, but got {values['explain']}.")
    draws = values.get("explain") == "gradcam" or values.get("contact", False)
    if draws and "out_dir" not in values:
        problems.append("`out_dir=FOLDER` must be given for explain=gradcam and contact=true: the pictures go there.")
    if "out_dir" in values and not draws:
        problems.append("`out_dir` needs explain=gradcam or contact=true, without which nothing goes there.")
    if "out" in values and not Path(values["out"]).absolute().parent.is_dir():
        problems.append(f"`out` must be in a folder that exists, but got {values['out']}.")
    if problems:
        raise ConfigError(*problems)


@command(needs_words=True)
def main(words: Sequence[str]) -> int:
    """`python -m resnet_tl.predict`."""
    values = parse_words(words, literal=cli.LITERAL)
    require(
        values,
        ("checkpoint", "images", "out", "device", "calibrated", "explain", "contact", "out_dir"),
        ("checkpoint", "images"),
    )
    _check(values)
    device = str(values.get("device", "cpu"))
    check_device(device)
    from resnet_tl.data.finder import told
    from resnet_tl.inference import explain
    from resnet_tl.inference.answers import answers
    from resnet_tl.inference.calibrate import calibrated, single
    from resnet_tl.inference.pictures import file_names as names_of_files
    from resnet_tl.inference.pictures import find_pictures
    from resnet_tl.inference.predictor import Predictor, checkpoints_of, predictor_of
    from resnet_tl.inference.progress import Progress
    from resnet_tl.inference.rows import Lines, csv_rows, probabilities, probability_columns, said
    from resnet_tl.inference.sheet import Sheet

    folders = checkpoints_of(values["checkpoint"])
    found = find_pictures(values["images"])
    predictor: Predictor = predictor_of(folders, device=device)
    explained = single(predictor, "heat is of one") if values.get("explain") == "gradcam" else None
    if values.get("calibrated"):
        predictor = calibrated(predictor)
    folder = expand(values["out_dir"], "out_dir") if "out_dir" in values else Path()
    sheet = Sheet(folder) if values.get("contact") else None
    file_names = names_of_files(found) if explained else []
    pictures, classes = found.pictures, predictor.classes
    lines = Lines(classes, max(len(picture.name) for picture in pictures), on_terminal=sys.stdout.isatty())
    bad: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        header = ["image", "class", *probability_columns(classes)]
        rows = stack.enter_context(csv_rows(Path(values["out"]), header)) if "out" in values else None
        tell = stack.enter_context(Progress())
        coming = answers(predictor, pictures, with_pixels=sheet is not None or explained is not None)
        for place, (picture, answer) in enumerate(zip(pictures, coming, strict=True)):
            tell(place + 1, len(pictures))
            if answer.log_p_K is None:
                bad[picture.name] = str(answer.bad)
                continue
            lines.add(picture.name, answer.log_p_K)
            if rows is not None:
                rows.writerow([picture.name, classes[int(answer.log_p_K.argmax())], *probabilities(answer.log_p_K)])
            if answer.pixels_CHW is not None and explained is not None:
                heat = explain.drawn(explained, answer.pixels_CHW)
                explain.write(folder / f"{file_names[place]}.gradcam.png", heat)
            if answer.pixels_CHW is not None and sheet is not None:
                sheet.add(answer.pixels_CHW, picture.name, said(classes, answer.log_p_K))
    lines.finish(values.get("out"))
    if explained is not None:
        print(f"Pictures with heat are in {folder}, {len(pictures) - len(bad):,} of them.")
    if sheet is not None:
        sheet.finish()
        print(f"Contact sheets are in {folder}, {len(sheet.pages):,} of them.")
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
    entry(main)
