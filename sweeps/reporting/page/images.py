"""The images that networks miss as elements of the page."""

from collections.abc import Sequence
from html import escape

from sweeps.records import count
from sweeps.reporting.blocks import MissedImage, MissedImages
from sweeps.reporting.inline import plain_text


def element(block: MissedImages) -> str:
    """Two groups of thumbnails, and what looking at them costs."""
    networks = count(block.num_networks, "network")
    said = (
        f"What {networks} (all complete seed runs of the search) said of the {block.num_images:,} test images. An "
        "image that all of them miss may be labelled wrongly or show something else than its class; or it is hard."
    )
    spends = (
        "These are images of the test split. Whoever chooses a trial, cleans images or changes labels by looking at "
        "them spends the test set: its scores then no longer say how good a network is on new images."
    )
    held = any(image.address for image in (*block.by_all, *block.by_half))
    copies = " The pictures are part of this file: whoever gets it gets them." if held else ""
    where = escape(plain_text(block.where), quote=False)
    groups = (
        (f"Missed by all {networks}", block.num_by_all, block.by_all),
        ("Missed by at least half of them, but not by all", block.num_by_half, block.by_half),
    )
    return f"<p>{said}</p>\n<p><strong>{spends}</strong></p>\n<p>{where}{copies}</p>\n" + "\n".join(
        _group(title, total, shown, block.num_networks) for title, total, shown in groups
    )


def _group(title: str, total: int, shown: Sequence[MissedImage], num_networks: int) -> str:
    if not total:
        return f"<h3>{escape(title)}: none</h3>"
    of = f", the first {len(shown)} shown" if len(shown) < total else ""
    items = "\n".join(_image(image, num_networks) for image in shown)
    return f'<h3>{escape(title)}: {count(total, "image")}{of}</h3>\n<ul class="pictures">\n{items}\n</ul>'


def _image(image: MissedImage, num_networks: int) -> str:
    alt = escape(f"Test image {image.name}, given as {image.given}", quote=True)
    seen = f'<img src="{image.address}" alt="{alt}" width="112" height="112">' if image.address else ""
    told = ", ".join(f"{name} {often}×" for name, often in image.said)
    said = f"<span>said: {escape(told)}</span>" if told else ""
    return (
        f'<li><figure>{seen}<figcaption><span class="name">{escape(image.name)}</span><span>given: '
        f"<strong>{escape(image.given)}</strong></span>{said}"
        f"<span>missed by {image.num_missed} of {num_networks}</span></figcaption></figure></li>"
    )
