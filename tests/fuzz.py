"""Odd inputs of every kind that people hand in, tried one after the other under limits of memory and time.

    python -m tests.fuzz KIND SEED COUNT

runs in an empty folder. Whatever an input is, it is read or refused by an error of ours: anything else, and more than
`MOST_S` seconds or `MOST_BYTES` of memory, ends the process with the input's number. The same seed makes the same
inputs.
"""

import io
import json
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import yaml
from PIL import Image

from resnet_tl.config import DataConfig
from resnet_tl.data.prepare import prepare
from resnet_tl.errors import DataError, UserError
from resnet_tl.option_text import load_yaml
from sweeps.definition.compose import compose
from tests.sweeps.definition.test_fuzz import ODD, OURS, THEIRS, changed

MOST_S = 20
MOST_BYTES = 4 * 2**30

Try = Callable[[Random], None]


def damaged(content: bytes, random: Random) -> bytes:
    """Bytes flipped, cut out, put in, repeated, or the end lost."""
    data = bytearray(content)
    for _ in range(random.choice([1, 1, 2, 5, 20])):
        place = random.randrange(len(data) + 1)
        how = random.randrange(5)
        if how == 0 and place < len(data):
            data[place] = random.randrange(256)
        elif how == 1:
            del data[place : place + random.randrange(1, 50)]
        elif how == 2:
            data[place:place] = random.randbytes(random.randrange(1, 50))
        elif how == 3:
            data[place:place] = data[place : place + random.randrange(1, 200)]
        elif random.random() < 0.3:
            del data[place:]
        if not data:
            break
    return bytes(data)


def requests() -> Try:
    """Study files whose values, or keys, are odd."""

    def one(random: Random) -> None:
        method = random.choice(["grid", "random", "bayes", "ablation"])
        content = load_yaml(random.choice([OURS, THEIRS]).replace("METHOD", method), "base")
        if method in ("random", "bayes") and "study" in content:
            content["study"]["trials"] = 5
        for _ in range(random.choice([1, 1, 2])):
            content = changed(content, random)
        Path("study.yaml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
        definition = compose(["study=study.yaml"])
        assert definition.probes()
        definition.broken()

    return one


def overrides() -> Try:
    """Command lines whose words are odd."""
    Path("study.yaml").write_text(OURS.replace("METHOD", "grid"), encoding="utf-8")
    keys = (
        "study.seeds study.space study.space.lr study.space.lr.values study.space.lr.set study.trials study.confirm "
        "study.confirm.seeds study.tables study.figures study.name study.hypotheses trial.lr trial.augment trial "
        "trial.weights trial.freeze trial.epochs data.root data.size data.bits data.source data run.out run.workers "
        "run.tracking_uri run.storage pretrain pretrain.pre.trial.lr nothing +trial.x ~trial.lr trial..lr"
    )

    def one(random: Random) -> None:
        words = ["study=study.yaml"]
        for _ in range(random.choice([1, 1, 2, 4])):
            value = random.choice(ODD)
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            if random.random() < 0.3:
                text = damaged(text.encode() or b"x", random).decode("utf-8", "replace").replace("\x00", "")
            words.append(
                random.choice([f"{random.choice(keys.split())}={text}", f"{random.choice(keys.split())}={text}", text])
            )
        assert compose(words).probes()

    return one


def texts() -> Try:
    """YAML files damaged byte by byte."""

    def one(random: Random) -> None:
        content = random.choice([OURS, THEIRS]).replace("METHOD", "grid").encode()
        Path("study.yaml").write_bytes(damaged(content, random))
        assert compose(["study=study.yaml"]).probes()

    return one


def tables() -> Try:
    """CSV files damaged byte by byte, and read into a report."""
    from sweeps.reporting.markdown import markdown
    from sweeps.reporting.reading import from_csv
    from sweeps.reporting.report import report

    rows = ["study,trial,seed,state,lr,head,max_epoch,best_epoch,val/accuracy,test/accuracy,test/loss,wall_s"]
    rows += [
        f"s,{t},{s},complete,0.{t + 1},linear,3,2,0.{5 + t},0.{6 + t},1.{t},2.5" for t in (0, 1, 2) for s in (0, 1)
    ]
    content = "\n".join(rows).encode()

    def one(random: Random) -> None:
        Path("r.csv").write_bytes(damaged(content, random))
        markdown(report(from_csv(Path("r.csv"))))

    return one


def markers() -> Try:
    """Documents whose markers are damaged."""
    from sweeps.reporting.markers import find

    content = (
        b"# Mine\n\n<!-- sweeps: study=a table=pivot rows=lr columns=[head, optimizer] -->\n| a |\n<!-- /sweeps -->\n"
        b"```\n<!-- sweeps: results=r.csv figure=seeds footer=false -->\n```\n"
        b"<!-- sweeps: study=b -->\n<!-- /sweeps -->\n"
    )

    def one(random: Random) -> None:
        find(damaged(content, random).decode("utf-8", "replace"), "doc.md")

    return one


def images() -> Try:
    """Damaged pictures of many formats among sound ones, read as a data set."""
    picture = Image.fromarray(np.arange(40 * 48 * 3, dtype=np.uint8).reshape(40, 48, 3))
    made: list[tuple[str, bytes]] = []
    formats = (
        "jpg:RGB png:RGB png:LA png:I;16 gif:P bmp:RGB tif:RGB tif:I;16 webp:RGB ppm:RGB tga:RGB jp2:RGB ico:RGBA "
        "jpg:CMYK avif:RGB dds:RGBA pcx:RGB"
    )
    for suffix, _, mode in (name.partition(":") for name in formats.split()):
        stream = io.BytesIO()
        image = (
            Image.fromarray(np.arange(1920, dtype=np.uint16).reshape(40, 48) * 30)
            if mode == "I;16"
            else picture.convert(mode)
        )
        kind = {"jpg": "JPEG", "tif": "TIFF", "jp2": "JPEG2000"}.get(suffix, suffix.upper())
        image.save(stream, kind)
        made.append((suffix, stream.getvalue()))
    for number in range(8):
        folder = Path("set") / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        picture.rotate(30 * number).save(folder / f"{number}.png")

    def one(random: Random) -> None:
        suffix, content = random.choice(made)
        odd = Path("set") / "class0" / f"odd.{random.choice([suffix, suffix, 'png', 'jpg', 'tiff'])}"
        odd.write_bytes(damaged(content, random))
        options = {"skip_bad": random.random() < 0.5, "channels": random.choice([None, 1, 3])}
        options |= {"resize": random.choice(["crop", "pad", "squash"]), "truncated": random.choice(["refuse", "fill"])}
        values = {"source": "image_folder", "root": "set", "size": 16, "bits": random.choice([None, "auto", 16])}
        try:
            prepare(DataConfig.model_validate(values | options), Path("cache"))
        finally:
            odd.unlink()

    return one


def arrays() -> Try:
    """Arrays of odd kinds and shapes, and damaged files."""
    kinds = ("u1", "u2", "i4", "i8", "f2", "f4", "f8", "?", "S3", "U2", "c8", "M8[s]", "V4", ">u2", "O")
    shapes = (
        (20, 8, 8),
        (20, 8, 8, 3),
        (20, 3, 8, 8),
        (20,),
        (),
        (0, 8, 8),
        (20, 0, 8),
        (20, 8, 8, 5),
        (19, 8, 8),
        (20, 1),
    )

    def one(random: Random) -> None:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            Path(f"{name}.npy").unlink(missing_ok=True)
        for name in ("x_train", "y_train", *random.choice([(), (), ("x_test",), ("x_test", "y_test")])):
            generator = np.random.default_rng(random.randrange(2**32))
            if name.startswith("x"):
                array = generator.integers(0, 255, (20, 8, 8)).astype(np.uint8)
            else:
                array = np.arange(20) % 2
            if random.random() < 0.5:
                shape = random.choice(shapes)
                numbers = generator.integers(-3, 300, shape)
                array = np.asarray(numbers).astype(random.choice(kinds[:7]) if random.random() < 0.6 else kinds[0])
                if array.dtype.kind == "f" and array.size and random.random() < 0.5:
                    array.flat[0] = random.choice([np.nan, np.inf, 1e30])
                if random.random() < 0.3:
                    array = np.zeros(shape, dtype=random.choice(kinds))
            stream = io.BytesIO()
            np.save(stream, array, allow_pickle=True)
            content = stream.getvalue()
            Path(f"{name}.npy").write_bytes(damaged(content, random) if random.random() < 0.4 else content)
        values = {"source": "arrays", "root": ".", "size": random.choice([None, 16]), "skip_bad": random.random() < 0.5}
        prepare(DataConfig.model_validate(values | {"bits": random.choice([None, "auto", 8, 16])}), Path("cache"))

    return one


def weights() -> Try:
    """Weights files of odd content, and damaged ones."""
    import torch
    from safetensors.torch import save
    from torchvision.models import resnet18

    from resnet_tl.model.weights import check

    state = resnet18().state_dict()
    small = {name: tensor for name, tensor in state.items() if tensor.numel() < 100_000}
    whole = dict(state)
    odd = (
        None,
        1,
        "x",
        [],
        {},
        torch.zeros(3),
        torch.tensor(float("nan")),
        b"x",
        torch.nn.Linear(2, 2),
        {"a": torch.ones(2)},
        torch.empty((), device="meta"),
        torch.ones(64).to_sparse(),
        torch.quantize_per_tensor(torch.ones(64), 0.1, 0, torch.qint8),
        torch.ones(64).to(torch.float8_e4m3fn),
        torch.ones((), dtype=torch.bool),
    )

    def is_plain(tensor: torch.Tensor) -> bool:
        return not tensor.is_meta and tensor.layout == torch.strided and not tensor.is_quantized

    def one(random: Random) -> None:
        content: object = dict(whole if random.random() < 0.15 else small)
        assert isinstance(content, dict)
        for _ in range(random.choice([0, 1, 2])):
            often = ["x", "fc.weight", "module.conv1.weight", *["bn1.num_batches_tracked", "bn1.running_var"] * 5]
            content[random.choice([*content, *often])] = random.choice(odd)
        if random.random() < 0.3:
            content = {f"{random.choice(['module.', 'a.b.', 'x'])}{name}": value for name, value in content.items()}
        if random.random() < 0.3:
            content = {random.choice(["state_dict", "model", 3, None]): content, "epoch": 3}
        if random.random() < 0.05:
            content = random.choice(odd)
        path = Path(random.choice(["w.pth", "w.bin", "w.safetensors", "w"]))
        if random.random() < 0.3 and isinstance(content, dict):
            plain = {str(name): v for name, v in content.items() if isinstance(v, torch.Tensor) and is_plain(v)}
            data = save({name: tensor.clone().contiguous() for name, tensor in plain.items()})
        else:
            stream = io.BytesIO()
            torch.save(content, stream)
            data = stream.getvalue()
        path.write_bytes(damaged(data, random) if random.random() < 0.5 else data)
        try:
            check(str(path), "resnet18")
        finally:
            path.unlink()

    return one


def cards() -> Try:
    """Stored networks whose description or tensors are damaged."""
    from resnet_tl.config import TrialConfig
    from resnet_tl.identity import Environment
    from resnet_tl.inference.export import export, rebuild
    from resnet_tl.training.seed_run import fit

    trial = {"backbone": "resnet18", "weights": "none", "optimizer": "sgd", "lr": 0.1, "epochs": 1, "batch_size": 64}
    data = prepare(DataConfig.model_validate({"source": "digits_0_4", "size": 32}), Path("cache"))
    config = TrialConfig.model_validate(trial | {"freeze": "all"})
    fit(config, data, seed=0, environment=Environment(device="cpu", threads=1), device="cpu", folder=Path("fitted"))
    folder = Path("fitted") / "checkpoint"
    export(folder, folder)
    text = (folder / "model.json").read_text(encoding="utf-8")
    tensors = (folder / "model.safetensors").read_bytes()

    def one(random: Random) -> None:
        tensors_damaged = False
        if random.random() < 0.6:
            content = load_yaml(text, "card")
            for _ in range(random.choice([1, 1, 2])):
                content = changed(content, random)
            (folder / "model.json").write_text(json.dumps(content, default=str), encoding="utf-8")
        elif random.random() < 0.8:
            (folder / "model.json").write_bytes(damaged(text.encode(), random))
        else:
            tensors_damaged = True
            (folder / "model.safetensors").write_bytes(damaged(tensors, random))
        try:
            rebuild(folder)
        finally:
            (folder / "model.json").write_text(text, encoding="utf-8")
            if tensors_damaged:
                (folder / "model.safetensors").write_bytes(tensors)

    return one


def archives() -> Try:
    """Archives whose names lead elsewhere, or whose bytes are damaged."""
    import tarfile
    import zipfile

    from resnet_tl.data.archive import extract

    names = [
        "a/x.png", "a/y.png", "b/z.png", "../out.png", "/a/out.png", "a/../../out.png", "a", "a/x.png/y", "C:\\o.png",
        "a\\..\\..\\out.png", "", ".", "a//x.png", "ü/é.png", "a/" + "x" * 300, "\ud800.png", "a/\n.png", "con/aux.png",
    ]  # fmt: skip

    def packed_as_tar(random: Random) -> bytes:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode=random.choice(["w", "w:gz", "w:bz2", "w:xz"])) as made:
            for name in random.sample(names, random.randrange(1, 6)):
                member = tarfile.TarInfo(name.replace("\ud800", "\udcff"))
                member.type = random.choice(
                    [tarfile.REGTYPE] * 5 + [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]
                )
                member.linkname = random.choice(["/etc/passwd", "../..", "a/x.png"])
                content = random.randbytes(random.choice([0, 10, 3000]))
                member.size = len(content) if member.type == tarfile.REGTYPE else 0
                made.addfile(member, io.BytesIO(content))
        return stream.getvalue()

    def packed_as_zip(random: Random) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", random.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as made:
            for name in random.sample(names, random.randrange(1, 6)):
                info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode())
                info.external_attr = random.choice([0o100644, 0o100644, 0o120777, 0o010644]) << 16
                made.writestr(info, random.randbytes(random.choice([0, 10, 3000])))
        return stream.getvalue()

    def one(random: Random) -> None:
        content = random.choice([packed_as_tar, packed_as_zip])(random)
        Path("archive").write_bytes(damaged(content, random) if random.random() < 0.6 else content)
        with tempfile.TemporaryDirectory(dir=".") as folder:
            into = Path(folder) / "inside"
            into.mkdir()
            try:
                extract(Path("archive"), into, "the archive")
            finally:
                assert [path.name for path in Path(folder).iterdir()] == ["inside"], "nothing comes out of the folder"
                assert not any(path.is_symlink() for path in into.rglob("*"))

    return one


def masks() -> Try:
    """Images and masks for patches, damaged or of odd kinds and sizes."""
    from resnet_tl.data.decode import BadImage
    from resnet_tl.data.patches.reading import read_mask, read_pixels
    from resnet_tl.data.patches.regions import regions_of, square_around

    def one(random: Random) -> None:
        size = random.randrange(1, 60), random.randrange(1, 60)
        mode = random.choice(["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "F", "CMYK", "I"])
        picture = Image.new(mode, size)
        stream = io.BytesIO()
        form = random.choice(["PNG", "TIFF", "BMP", "GIF", "JPEG"])
        try:
            picture.save(stream, form)
        except (OSError, KeyError, ValueError):  # no such mode in that format
            form = "TIFF"
            picture.save(stream, form)
        content = stream.getvalue()
        path = Path("mask." + random.choice([form.lower(), "png", "dcm"]))
        path.write_bytes(damaged(content, random) if random.random() < 0.7 else content)
        try:
            read_pixels(path, max_pixels=10_000)
            mask_HW = read_mask(path, threshold=random.choice([None, 0, 127]), max_pixels=10_000)
            height, width = mask_HW.shape
            for region in regions_of(mask_HW, per_region=True):
                square_around(region, width=width, height=height, size=random.randint(1, min(width, height)))
        except BadImage as error:  # whoever reads many says of which file it is
            raise DataError(str(error)) from None
        finally:
            path.unlink()

    return one


def ensembles() -> Try:
    """Stored ensembles whose card or stacking model is damaged."""
    from resnet_tl.inference.ensemble import (
        CARD,
        STACKING,
        EnsembleCard,
        MemberCard,
        Stacking,
        read_ensemble,
        write_card,
    )

    folder = Path("ensemble")
    for number in range(2):
        (folder / "members" / f"{number:02}").mkdir(parents=True)
        (folder / "members" / f"{number:02}" / "model.json").write_text('{"tensors_sha256": "0"}')
    members = tuple(MemberCard(study="s", trial=0, seed=n, weight=None, tensors_sha256="0") for n in range(2))
    card = EnsembleCard(method="stacking", classes=("a", "b"), members=members, how="by hand", metrics={})
    rule = Stacking(slopes_KMK=np.zeros((2, 2, 2)), intercepts_K=np.zeros(2))
    write_card(folder, card, rule)
    text, tensors = (folder / CARD).read_text(), (folder / STACKING).read_bytes()

    def one(random: Random) -> None:
        if random.random() < 0.5:
            content = load_yaml(text, "card")
            for _ in range(random.choice([1, 1, 2])):
                content = changed(content, random)
            (folder / CARD).write_text(json.dumps(content, default=str), encoding="utf-8")
        elif random.random() < 0.6:
            (folder / CARD).write_bytes(damaged(text.encode(), random))
        else:
            (folder / STACKING).write_bytes(damaged(tensors, random))
        try:
            read_ensemble(folder)
        finally:
            (folder / CARD).write_text(text, encoding="utf-8")
            (folder / STACKING).write_bytes(tensors)

    return one


KINDS: dict[str, Callable[[], Try]] = {
    make.__name__: make
    for make in (
        requests, overrides, texts, tables, markers, images, arrays, weights, cards, archives, masks, ensembles,
    )
}  # fmt: skip


class TooSlow(BaseException):
    """An input took too long; no code that is tried can take it for an error of its own."""


def too_slow(*_: object) -> None:
    """What the alarm does."""
    raise TooSlow(f"an input took more than {MOST_S} s")


def main(kind: str, seed: int, count: int) -> None:
    """Tries inputs; whatever is no error of ours ends this with a traceback."""
    one = KINDS[kind]()
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
    signal.signal(signal.SIGALRM, too_slow)
    refused = 0
    for number in range(count):
        signal.alarm(MOST_S)
        try:
            one(Random(f"{kind} {seed} {number}"))
        except UserError as error:
            refused += 1
            if not 0 < len(str(error)) < 100_000:
                raise ValueError(f"{len(str(error))} characters are no message") from error
        except BaseException:
            print(f"{kind} {seed}: input {number}", file=sys.stderr, flush=True)
            raise
        finally:
            signal.alarm(0)
    print(f"{count} {kind}: {refused} refused, {count - refused} read")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
