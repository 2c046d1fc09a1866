"""Classifies images with a stored network.

    python -m resnet_tl.predict checkpoint=FOLDER images=FILE_OR_FOLDER [out=predictions.csv] [device=cpu]
    python -m resnet_tl.predict checkpoint=FOLDER images=[a.png,b.png]

Prints a table, and writes `out` with the probability of every class. Images that cannot be read are named, and the exit
status is 1; the others have their results all the same.
"""

import csv
import sys
from pathlib import Path

from resnet_tl import cli
from resnet_tl.errors import DataError
from resnet_tl.option_text import expand, parse_words


def main() -> int:
    """`python -m resnet_tl.predict`."""
    words = sys.argv[1:]
    if not words or "--help" in words or "-h" in words:
        print((__doc__ or "").strip())
        return 0
    values = parse_words(words, literal=cli.LITERAL)
    cli.require(values, ("checkpoint", "images", "out", "device"), ("checkpoint", "images"))
    device = str(values.get("device", "cpu"))
    cli.check_device(device)
    if "out" in values and not Path(values["out"]).absolute().parent.is_dir():
        raise DataError(f"`out` must be in a folder that exists, but got {values['out']}.")
    given = expand(values["checkpoint"], "checkpoint")
    folder = given.parent if given.suffix in (".json", ".safetensors") else given
    from resnet_tl.data.finder import told
    from resnet_tl.inference.predict import classify, find_images

    images = find_images(values["images"])
    found = classify(folder, images.files, device=device)
    width = max((len(str(path)) for path in found.paths), default=0)
    for path, row in zip(found.paths, found.probabilities_NK, strict=True):
        best = int(row.argmax())
        print(f"{path!s:{width}}  {found.classes[best]}  {row[best]:.1%}")
    if out := values.get("out"):
        with Path(out).open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["image", "class", *(f"p({name})" for name in found.classes)])
            for path, row in zip(found.paths, found.probabilities_NK, strict=True):
                writer.writerow([str(path), found.classes[int(row.argmax())], *(f"{p:.6g}" for p in row)])
        print(f"Probabilities are in {out}.")
    if images.passed_over:
        print(told(images.passed_over))
    if found.bad:
        print(f"{len(found.bad)} of {len(images.files)} images cannot be classified:", file=sys.stderr)
        print("\n".join(f"  {path} {reason}" for path, reason in found.bad.items()), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    cli.entry(main)
