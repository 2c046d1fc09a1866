"""A small class-conditional GAN at 32 pixels, which learns from training images and makes more of them.

The generator is that of DCGAN, with an embedding of the class beside the noise; the discriminator has spectral norm in
place of BatchNorm, a projection of the class, and sees how much the images of a class differ. Both learn by the hinge
loss from batches in which all classes are alike frequent.

Sources: Radford, Metz, Chintala 2016 (DCGAN: architecture guidelines of section 3; section 4: Adam with 2e-4 and
beta1 0.5, weights drawn with deviation 0.02, images in [-1, 1]); Miyato, Kataoka, Koyama, Yoshida 2018 (spectral norm,
hinge loss of section 4); Miyato, Koyama 2018 (projection of the class).

Axes: B images of a batch, C channels, F features, H W pixels (32), K classes, N images, Z noise.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from resnet_tl.data.batches import to_unit
from resnet_tl.errors import DataError
from resnet_tl.heartbeat import beat
from resnet_tl.seeding import derive, uniforms_BW

SIDE = 32
"""Pixels of a generated image."""
BATCH = 64
NOISE, EMBEDDED, WIDTH = 64, 32, 32
"""Numbers drawn for an image and of its class, and channels of the layer at 16 × 16 pixels."""
CHECK_EVERY = 25
"""Steps between looks at the losses."""


class Generator(nn.Module):
    """Makes images of a class from noise."""

    def __init__(self, *, channels: int, num_classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_classes, EMBEDDED)
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(NOISE + EMBEDDED, 4 * WIDTH, 4, bias=False),
            nn.BatchNorm2d(4 * WIDTH),
            nn.ReLU(),
            nn.ConvTranspose2d(4 * WIDTH, 2 * WIDTH, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(2 * WIDTH),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * WIDTH, WIDTH, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(),
            nn.ConvTranspose2d(WIDTH, channels, 4, stride=2, padding=1),
            nn.Tanh(),
        )

    def forward(self, noise_BZ: Tensor, labels_B: Tensor) -> Tensor:
        """Images [B, C, H, W] in [-1, 1]."""
        joined = torch.cat([noise_BZ, self.embedding(labels_B)], dim=1)
        images_BCHW: Tensor = self.layers(joined[:, :, None, None])
        return images_BCHW


class Discriminator(nn.Module):
    """Says how real images of a class look."""

    def __init__(self, *, channels: int, num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            spectral_norm(nn.Conv2d(channels, WIDTH, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(WIDTH, 2 * WIDTH, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(2 * WIDTH, 4 * WIDTH, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
        )
        # a weight for each place, as DCGAN has: with sums over places the generator makes textures alone
        self.whole = nn.Sequential(
            spectral_norm(nn.Conv2d(4 * WIDTH + 1, 4 * WIDTH, 4)),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
        )
        self.score = spectral_norm(nn.Linear(4 * WIDTH, 1))
        self.embedding = spectral_norm(nn.Embedding(num_classes, 4 * WIDTH))

    def forward(self, images_BCHW: Tensor, labels_B: Tensor) -> Tensor:
        """Scores [B]: the higher, the more real; of one or more whole batches, one behind the other."""
        parts_BCHW = self.layers(images_BCHW)
        spread_B = spread(parts_BCHW, labels_B)
        spread_BCHW = spread_B[:, None, None, None].expand(-1, 1, *parts_BCHW.shape[2:])
        features_BF = self.whole(torch.cat([parts_BCHW, spread_BCHW], dim=1))
        scores_B: Tensor = self.score(features_BF)[:, 0] + (self.embedding(labels_B) * features_BF).sum(1)
        return scores_B


def spread(features_BCHW: Tensor, labels_B: Tensor) -> Tensor:
    """How much the images of a class in the same batch differ, [B]; 0.0001 for one that is alone of its class.

    It is shown to the discriminator, or the generator makes one and the same image of each class.
    Source: Karras, Aila, Laine, Lehtinen 2018, section 3 (minibatch standard deviation), here by class.
    """
    flat_BF = features_BCHW.flatten(1)
    batch_B = torch.arange(len(labels_B), device=labels_B.device) // BATCH
    same_BB = (labels_B[:, None] == labels_B[None]) & (batch_B[:, None] == batch_B[None])
    share_BB = same_BB / same_BB.sum(1, keepdim=True)
    variance_BF = share_BB @ flat_BF.square() - (share_BB @ flat_BF).square()
    return (variance_BF.clamp_min(0) + 1e-8).sqrt().mean(1)


def shrunk(pixels_NCHW: NDArray[np.generic], index: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Some of the stored images, uint8 [N, C, H, W] of 32 × 32 pixels."""
    parts = []
    for start in range(0, len(index), BATCH):
        beat()
        unit = to_unit(pixels_NCHW[index[start : start + BATCH]])
        parts.append((fitted(unit, (SIDE, SIDE)) * 255).round().to(torch.uint8).numpy())
    return np.concatenate(parts)


def fitted(images_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Images in [0, 1] at another size H, W."""
    if images_BCHW.shape[2:] == size:
        return images_BCHW
    resized = nn.functional.interpolate(images_BCHW, size, mode="bilinear", align_corners=False, antialias=True)
    return resized.clamp(0, 1)


def train_generator(
    images_NCHW: NDArray[np.uint8],
    labels_N: NDArray[np.int64],
    *,
    num_classes: int,
    steps: int,
    seed: int,
    device: torch.device,
    on_step: Callable[[int, float], None] | None = None,
) -> Generator:
    """Trains a generator; the same arguments give the same bits on a CPU with the same number of threads.

    Args:
        images_NCHW: those that may be learnt from, of 32 × 32 pixels; each class has at least one.
        steps: batches of 64 images.
        on_step: told the number of a step, from 1 up, and the discriminator's loss, now and then.

    Raises:
        DataError: a loss stopped being finite.
    """
    channels = images_NCHW.shape[1]
    with torch.random.fork_rng(devices=[]):
        # of this process's CPU alone: see `network.assemble`
        torch.default_generator.manual_seed(derive(seed, "generator", 0))
        generator = Generator(channels=channels, num_classes=num_classes)
        discriminator = Discriminator(channels=channels, num_classes=num_classes)
        for module in generator.modules():
            if isinstance(module, nn.ConvTranspose2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
    generator.to(device)
    discriminator.to(device)
    optimizers = [
        torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999)) for network in (generator, discriminator)
    ]
    noise = torch.Generator().manual_seed(derive(seed, "generator", 1))
    members = [np.flatnonzero(labels_N == label) for label in range(num_classes)]
    losses: list[Tensor] = []
    for step in range(1, steps + 1):
        beat()
        index_B, drawn_B = _batch(members, seed, step)
        real_BCHW = (torch.from_numpy(images_NCHW[index_B]).to(device).float() / 127.5) - 1
        labels_B = torch.from_numpy(drawn_B).to(device)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        made_BCHW = generator(_noise(len(drawn_B), noise, device), labels_B)
        both = moved(torch.cat([real_BCHW, made_BCHW.detach()]), noise)
        real_B, made_B = discriminator(both, labels_B.repeat(2)).chunk(2)
        loss = (1 - real_B).relu().mean() + (1 + made_B).relu().mean()
        loss.backward()
        optimizers[1].step()
        discriminator.requires_grad_(False)
        told = -discriminator(moved(made_BCHW, noise), labels_B).mean()
        told.backward()
        discriminator.requires_grad_(True)
        optimizers[0].step()
        losses.append((loss + told).detach())
        if step % CHECK_EVERY == 0 or step == steps:
            if not bool(torch.stack(losses).isfinite().all()):
                raise DataError(
                    f"The generator of `data.synthetic` must have finite losses, but one before step {step} is not; "
                    "give it another `seed` or fewer `steps`."
                )
            losses.clear()
            if on_step is not None:
                on_step(step, float(loss.detach()))
    return generator


def _batch(members: Sequence[NDArray[np.int64]], seed: int, step: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Images and classes of a batch, in which the classes take turns; images of a class are drawn with replacement."""
    drawn_B = (np.arange(BATCH, dtype=np.int64) + (step - 1) * BATCH) % len(members)
    draws_B = uniforms_BW(derive(seed, "generator", 2, step), np.arange(BATCH, dtype=np.int64), 1)[:, 0]
    pairs = zip(drawn_B.tolist(), draws_B.tolist(), strict=True)
    index_B = np.array([members[label][int(draw * len(members[label]))] for label, draw in pairs])
    return index_B, drawn_B


def moved(images_BCHW: Tensor, noise: torch.Generator) -> Tensor:
    """Images in [-1, 1], each brighter or darker and moved by up to an eighth of its side, grey beyond its edges.

    Real and generated ones alike, so that the discriminator cannot know few images by heart, and the generator learns
    none of it: translation and brightness of DiffAugment (Zhao, Liu, Lin, Zhu, Han 2020, section 3.2).
    """
    count = len(images_BCHW)
    brighter_B = torch.rand(count, generator=noise).sub(0.5).to(images_BCHW.device)
    most = SIDE // 8
    padded = nn.functional.pad(images_BCHW + brighter_B[:, None, None, None], (most, most, most, most))
    top_B, left_B = torch.randint(0, 2 * most + 1, (2, count), generator=noise).tolist()
    places = zip(padded, top_B, left_B, strict=True)
    return torch.stack([image[:, top : top + SIDE, left : left + SIDE] for image, top, left in places])


def _noise(count: int, noise: torch.Generator, device: torch.device) -> Tensor:
    return torch.randn((count, NOISE), generator=noise).to(device)


def generate(
    generator: Generator, labels_N: NDArray[np.int64], *, seed: int, device: torch.device
) -> NDArray[np.float32]:
    """An image of each label, [N, C, H, W] in [0, 1]."""
    generator.eval()  # the statistics of training, so that an image does not depend on those beside it
    noise = torch.Generator().manual_seed(derive(seed, "generator", 3))
    parts = []
    with torch.inference_mode():
        for start in range(0, len(labels_N), BATCH):
            beat()
            labels_B = torch.from_numpy(labels_N[start : start + BATCH]).to(device)
            made_BCHW = generator(_noise(len(labels_B), noise, device), labels_B)
            parts.append(((made_BCHW + 1) / 2).float().cpu().numpy())
    return np.concatenate(parts)
