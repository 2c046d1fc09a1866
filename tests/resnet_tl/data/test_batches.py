import numpy as np
import torch

from resnet_tl.data.augment import augment_BCHW, mix
from resnet_tl.data.batches import DeviceImages, cut_batches, epoch_order, measured, to_unit, train_batches
from resnet_tl.data.prepare import Images, Prepared
from resnet_tl.seeding import derive, shuffled


def ramp(count: int = 6, size: int = 16) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_every_epoch_shows_every_image_once_in_a_new_order(prepared: Prepared) -> None:
    images = prepared.load()
    first, second = (epoch_order(images, balanced=False, seed=0, epoch=epoch) for epoch in (1, 2))
    assert sorted(first) == sorted(second) == sorted(images.splits["train"])
    assert not np.array_equal(first, second)
    assert np.array_equal(first, epoch_order(images, balanced=False, seed=0, epoch=1))
    assert not np.array_equal(first, epoch_order(images, balanced=False, seed=1, epoch=1))


def test_oversampling_draws_every_class_as_often_as_the_largest() -> None:
    labels = np.array([0] * 10 + [1] * 3)
    images = Images(
        pixels_NCHW=np.zeros((13, 1, 8, 8), np.uint8), labels_N=labels, names=[""] * 13, clusters_N=np.arange(13),
        splits={"train": np.arange(13), "val": np.arange(0), "test": np.arange(0)}, learnable=np.arange(13),
    )  # fmt: skip
    order = epoch_order(images, balanced="oversample", seed=0, epoch=1)
    drawn = np.bincount(labels[order % 13])
    assert drawn.tolist() == [10, 10]
    assert len(set(order)) == 20, "each repetition has draws of its own"
    assert set(np.bincount(order % 13)[10:]) <= {3, 4}


def mixed(share: float, count: int = 20) -> Images:
    return Images(
        pixels_NCHW=np.zeros((count + 10 + count, 1, 8, 8), np.uint8), labels_N=np.zeros(2 * count + 10, np.int64),
        names=[""] * (2 * count + 10), clusters_N=np.arange(2 * count + 10), learnable=np.arange(2 * count + 10),
        splits={
            "train": np.arange(count), "val": np.arange(count, count + 5), "test": np.arange(count + 5, count + 10),
            "synthetic": np.arange(count + 10, 2 * count + 10),
        },
        share=share,
    )  # fmt: skip


def test_a_share_of_an_epoch_is_generated_and_none_comes_twice() -> None:
    images = mixed(0.25)
    orders = [epoch_order(images, balanced=False, seed=0, epoch=epoch) for epoch in range(1, 41)]
    for order in orders:
        assert len(order) == len(set(order)) == 20, "an epoch is as long as without"
        assert (order < 20).sum() == 15
        assert (order >= 30).sum() == 5
    assert set(np.concatenate(orders)) == {*range(20), *range(30, 50)}, "each has its turn, new in each epoch"
    assert len({tuple(sorted(order)) for order in orders}) > 30
    assert 8 < np.mean([np.flatnonzero(order >= 30) for order in orders]) < 11, "they are mixed"
    again = epoch_order(images, balanced="class_weights", seed=0, epoch=1)
    assert np.array_equal(again, orders[0])
    assert not np.array_equal(sorted(epoch_order(images, balanced=False, seed=1, epoch=1)), sorted(orders[0]))


def test_a_share_of_none_is_the_epoch_that_it_always_was() -> None:
    images = mixed(0.0)
    order = epoch_order(images, balanced=False, seed=3, epoch=2)
    assert np.array_equal(order, images.splits["train"][shuffled(derive(3, "order", 2), 20)])


def test_a_single_left_over_image_joins_the_batch_before() -> None:
    assert [len(b) for b in cut_batches(np.arange(9), 4)] == [4, 5]
    assert [len(b) for b in cut_batches(np.arange(10), 4)] == [4, 4, 2]
    assert [len(b) for b in cut_batches(np.arange(3), 1)] == [1, 1, 1]
    assert [len(b) for b in cut_batches(np.arange(1), 4)] == [1]


def test_augmentation_of_an_image_does_not_depend_on_its_batch() -> None:
    images, samples, key = ramp(), np.arange(6), derive(0, "augment", 1)
    names = ("random_crop", "hflip", "vflip", "rotation")
    together = augment_BCHW(images, samples, key=key, names=names, crop=12)
    for index in range(6):
        alone = augment_BCHW(images[index : index + 1], samples[index : index + 1], key=key, names=names, crop=12)
        assert torch.equal(together[index], alone[0])


def test_adding_an_augmentation_does_not_shift_the_draws_of_another() -> None:
    images, samples, key = ramp(40), np.arange(40), derive(0, "augment", 1)
    flipped = augment_BCHW(images, samples, key=key, names=("hflip",), crop=None)
    both = augment_BCHW(images, samples, key=key, names=("hflip", "vflip"), crop=None)
    for index in range(40):
        assert torch.equal(both[index], flipped[index]) or torch.equal(both[index], flipped[index].flip(1))
    changed = sum(not torch.equal(a, b) for a, b in zip(images, flipped, strict=True))
    assert 10 <= changed <= 30


def test_random_crops_differ_and_centre_crops_do_not() -> None:
    images, samples = ramp(1).repeat(30, 1, 1, 1), np.arange(30)
    centred = augment_BCHW(images, samples, key=1, names=(), crop=8)
    assert torch.equal(centred[0], images[0, :, 4:12, 4:12])
    assert all(torch.equal(centred[0], other) for other in centred)
    cropped = augment_BCHW(images, samples, key=1, names=("random_crop",), crop=8)
    assert len({crop.numpy().tobytes() for crop in cropped}) > 15


def test_rotation_stays_within_its_bound_and_keeps_the_centre() -> None:
    image = torch.zeros(1, 1, 33, 33)
    image[0, 0, 16, 16] = 1
    image[0, 0, 16, 30] = 1
    turned = augment_BCHW(image.repeat(50, 1, 1, 1), np.arange(50), key=3, names=("rotation",), crop=None)
    assert (turned[:, 0, 16, 16] > 0.99).all()
    rows, columns = torch.meshgrid(torch.arange(33.0) - 16, torch.arange(33.0) - 16, indexing="ij")
    angles = []
    for one in turned[:, 0]:
        weight = one * ((columns > 8) & (one > 0.05))
        angles.append(torch.atan2((weight * rows).sum(), (weight * columns).sum()).rad2deg().item())
    assert -16 < min(angles) < -5
    assert 5 < max(angles) < 16


def test_mixed_targets_are_shares_of_what_is_seen() -> None:
    images = torch.stack([torch.full((1, 20, 20), float(value)) for value in range(8)])
    targets = torch.eye(8)
    for name in ("mixup", "cutmix"):
        mixed, shares = mix(images, targets, np.arange(8), key=5, names=(name,))
        assert torch.allclose(shares.sum(1), torch.ones(8))
        # an image's mean brightness is the same blend as its target's
        expected = (shares * torch.arange(8.0)).sum(1)
        assert torch.allclose(mixed.mean((1, 2, 3)), expected, atol=1e-4)
    assert torch.equal(mix(images, targets, np.arange(8), key=5, names=())[0], images)


def test_batches_are_normalised_by_the_training_pixels(prepared: Prepared) -> None:
    images = prepared.load()
    normalisation = measured(images)
    train = to_unit(images.pixels_NCHW[images.splits["train"]])
    assert torch.allclose(torch.tensor(normalisation.mean), train.mean((0, 2, 3)), atol=1e-5)
    batches = list(
        train_batches(
            images, DeviceImages(images, torch.device("cpu")), normalisation=normalisation, batch_size=8, augment=(),
            crop=None, balanced=False, num_classes=3, seed=0, epoch=1,
        )
    )  # fmt: skip
    everything = torch.cat([batch.inputs_B for batch in batches])
    assert torch.allclose(everything.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(everything.std((0, 2, 3)), torch.ones(3), atol=1e-2)
