"""Writes a stored network for use elsewhere, and proves that it computes the same.

    python -m resnet_tl.export checkpoint=FOLDER format=onnx out=network.onnx [images=FILE_OR_FOLDER]
    python -m resnet_tl.export checkpoint=FOLDER format=safetensors out=FOLDER

`onnx` needs the extra `onnx` (pip install 'resnet-sweeps[onnx]'). It writes `network.onnx`, which takes any number of
normalised images [batch, C, H, W] and gives a logit for each class, and beside it `network.onnx.json`: the classes, and
how an image becomes the input. `safetensors` writes a checkpoint that needs no other file, whatever was frozen.

Either is compared with the stored network on up to 16 of `images`, or on noise without them. The largest absolute
difference of two logits is printed; above 1e-4 (times the largest logit, where that is above 1) nothing is left.
"""

from collections.abc import Sequence

from resnet_tl import cli
from resnet_tl.command import command, entry, require
from resnet_tl.errors import ConfigError, DataError, shown
from resnet_tl.option_text import expand, nearest, parse_words

FORMATS = ("onnx", "safetensors")
NUM_COMPARED = 16


@command(needs_words=True)
def main(words: Sequence[str]) -> int:
    """`python -m resnet_tl.export`."""
    values = parse_words(words, literal=cli.LITERAL)
    require(values, ("checkpoint", "format", "out", "images"), ("checkpoint", "format", "out"))
    kind, out = str(values["format"]), expand(values["out"], "out")
    problems = []
    if kind not in FORMATS:
        problems.append(f"`format` must be one of {', '.join(FORMATS)}, but got {kind!r}; {nearest(kind, FORMATS)}")
    if kind == "onnx" and out.suffix != ".onnx":
        problems.append(f"`out` must end with .onnx, but got {out}.")
    if kind == "onnx" and not out.absolute().parent.is_dir():
        problems.append(f"`out` must be in a folder that exists, but got {out}.")
    if kind == "safetensors" and out.exists():
        problems.append(f"`out` must be a folder that does not exist yet, but {out} does.")
    if problems:
        raise ConfigError(*problems)
    import numpy as np

    from resnet_tl.files import discard
    from resnet_tl.inference import export, onnx_file
    from resnet_tl.inference.answers import answers
    from resnet_tl.inference.calibrate import single
    from resnet_tl.inference.pictures import find_pictures
    from resnet_tl.inference.predictor import checkpoints_of, one_network, predictor_of

    network = single(predictor_of(checkpoints_of(values["checkpoint"])), "one is written")
    card = network.card
    if "images" in values:
        pictures = find_pictures(values["images"]).pictures[:NUM_COMPARED]
        said = list(answers(network, pictures, with_pixels=True))
        bad = [f"{p.name} {answer.bad}" for p, answer in zip(pictures, said, strict=True) if answer.bad is not None]
        if bad:
            raise DataError(f"These images cannot be classified:\n{shown(bad)}")
        pixels_BCHW = np.stack([answer.pixels_CHW for answer in said if answer.pixels_CHW is not None])
        pixels_BCHW = pixels_BCHW if len(pixels_BCHW) > 1 else np.repeat(pixels_BCHW, 2, axis=0)
    else:
        shape = (NUM_COMPARED, card.channels, *card.size)
        pixels_BCHW = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    if kind == "onnx":
        found = onnx_file.write(network, out, pixels_BCHW)
        also = f" and {onnx_file.described_in(out)}, which says how images become its input"
    else:
        export.export(network.folder, out)
        try:
            written = onnx_file.logits_of(one_network(out), pixels_BCHW)
            found = onnx_file.agreement(onnx_file.logits_of(network, pixels_BCHW), written)
        except BaseException:
            discard(out)
            raise
        also = ""
    print(
        f"Wrote {out}{also}. Largest absolute difference of logits on {len(pixels_BCHW)} "
        f"{'images' if 'images' in values else 'images of noise'}: {found.largest_difference:.3g} "
        f"(largest logit {found.largest_logit:.3g})."
    )
    return 0


if __name__ == "__main__":
    entry(main)
