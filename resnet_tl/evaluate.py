"""Scores a stored network on labelled images.

    python -m resnet_tl.evaluate checkpoint=FOLDER data.source=image_folder data.root=my_images [split=test] [out=DIR]
    python -m resnet_tl.evaluate checkpoint=FOLDER data.source=… data.root=… calibrate=true
    python -m resnet_tl.evaluate checkpoint=[FOLDER,FOLDER] data.source=… data.root=… split=all [calibrated=true]

Prints every metric, those of each class, the confusion matrix and how sure the network is against how often it is
right. `out` gets metrics.json, confusion.csv, reliability.csv and predictions.csv, with the probability of every class
for every image.

`split` is train, val, test (default) or all. Splits that the data does not state are cut as for training: with the
training's own data.* options the scores on test are those that training stored (a network trained in bf16 is scored in
full precision here). `all` takes the images as they are and cuts nothing: for images that the network has never seen.
The images are brought to the network's own size, crop, channels and bits, so these options can be left out. Classes are
matched by name; some may be lacking, and averages are then over the others.

`calibrate=true` fits one temperature to the network's logits on val, prints negative log-likelihood (NLL) and expected
calibration error (ECE) before and after, and stores it beside the checkpoint. `calibrated=true` uses a stored one, here
and in resnet_tl.predict. Neither changes a predicted class.

device=cpu     or cuda, cuda:1
cache=FOLDER   for decoded images (default: the user's cache folder)
"""

from collections.abc import Callable, Sequence
from typing import Any

from resnet_tl import cli
from resnet_tl.command import Section, command, entry, flags, options_of, require
from resnet_tl.config import DataConfig
from resnet_tl.device import check_device
from resnet_tl.errors import ConfigError
from resnet_tl.option_text import expand, parse_words, validate

OPTIONS = ("checkpoint", "split", "out", "device", "cache", "calibrate", "calibrated")


def _sections() -> list[Section]:
    return [options_of(DataConfig, "data")]


@command(sections=_sections, needs_words=True)
def main(words: Sequence[str]) -> int:
    """`python -m resnet_tl.evaluate`."""
    values = parse_words(words, literal=cli.LITERAL)
    asked = {key.removeprefix("data."): values.pop(key) for key in list(values) if key.startswith("data.")}
    checks: list[Callable[[], object]] = [
        lambda: require(values, OPTIONS, ("checkpoint",)),
        lambda: flags(values, ("calibrate", "calibrated")),
        lambda: validate(DataConfig, asked, "data"),
    ]
    problems: list[str] = []
    for check in checks:
        try:
            check()
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return _evaluate(values, DataConfig.model_validate(asked))


def _evaluate(values: dict[str, Any], data: DataConfig) -> int:
    device = str(values.get("device", "cpu"))
    check_device(device)
    split = str(values.get("split", "test"))
    from resnet_tl.data.cache import default_cache

    cache = expand(str(values["cache"]), "cache") if "cache" in values else default_cache()
    from resnet_tl.inference import calibrate, summary
    from resnet_tl.inference.evaluate import score
    from resnet_tl.inference.predictor import Predictor, checkpoints_of, predictor_of
    from resnet_tl.inference.progress import Progress

    folders = checkpoints_of(values["checkpoint"])
    predictor: Predictor = predictor_of(folders, device=device)
    about: dict[str, Any] = {"checkpoint": [str(folder) for folder in folders]}
    if values.get("calibrate"):
        one = calibrate.single(predictor, "a temperature is fitted to one")
        with Progress() as tell:
            val = score(one, data, split="val", cache=cache, on_image=tell)
        fitted = calibrate.calibration_of(one.card, val.log_p_NK, val.labels_N, split="val")
        calibrate.write(one.folder, fitted)
        print(f"Temperature {fitted.temperature:.4f}, fitted to {fitted.num_images:,} images of val.")
        print(_before_and_after("val", fitted.nll, fitted.ece))
    if values.get("calibrated"):
        predictor = calibrate.calibrated(predictor)
        about["temperature"] = predictor.temperature
        print(f"Probabilities have the temperature {predictor.temperature:.4f}.")
    with Progress() as tell:
        found = score(predictor, data, split=split, cache=cache, on_image=tell)
    if values.get("calibrate") and not values.get("calibrated") and split != "val":
        scaled_NK = calibrate.with_temperature(found.log_p_NK, fitted.temperature)
        before, after = (calibrate.nll_and_ece(log_p_NK, found.labels_N) for log_p_NK in (found.log_p_NK, scaled_NK))
        print(_before_and_after(split, (before[0], after[0]), (before[1], after[1])))
    print(summary.printed(found))
    if "out" in values:
        out = expand(values["out"], "out")
        summary.write(out, found, about)
        print(f"\nMetrics, confusion matrix, reliability and the prediction for each image are in {out}.")
    return 0


def _before_and_after(split: str, nll: tuple[float, float], ece: tuple[float, float]) -> str:
    return f"  {split}: NLL {nll[0]:.4f} before, {nll[1]:.4f} after; ECE {ece[0]:.4f} before, {ece[1]:.4f} after"


if __name__ == "__main__":
    entry(main)
