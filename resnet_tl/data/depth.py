"""How many bits the values of images really use, where files store more than 8.

Cameras and scanners write 10, 12 or 14 bits into files of 16, in which the pictures are then nearly black.
"""

from typing import Literal

from resnet_tl.errors import DataError


class NothingDeep(DataError):
    """Bits were asked for, and no image stores more than 8."""


BITS = (8, 10, 12, 14, 16)


def settled_bits(asked: int | Literal["auto"] | None, largest: int | None) -> int | None:
    """The bits to decode by; None where there is nothing to decide.

    Without a word of the user 16 are taken only where no fewer of `BITS` hold the largest value: pictures that use at
    most a quarter of the range would lose at least two bits in silence.

    Args:
        asked: `data.bits`.
        largest: value in the whole set among files that store more than 8 bits; None without such files.

    Raises:
        DataError: the values need more bits than asked for, or fewer and nothing is asked for.
    """
    if largest is None:
        if asked not in (None, "auto", 8):
            raise NothingDeep(
                f"`data.bits` must be left out where no image stores more than 8 bits, as here, but got {asked}."
            )
        return None
    fewest = next(bits for bits in BITS if largest < 2**bits)
    if asked == "auto":
        return fewest
    if asked is None and fewest < 16:
        raise DataError(
            f"Images that store 16 bits must use them, or `data.bits` must say how many they use: the largest value of "
            f"the whole set is {largest} of 65535, so that they would come out nearly black. Give data.bits={fewest} "
            f"(or auto, the fewest of {', '.join(map(str, BITS))} that hold it), or data.bits=16 if they are that dark."
        )
    if asked is not None and largest >= 2**asked:
        raise DataError(
            f"`data.bits` must hold the largest value of the whole set, {largest}, but got {asked}; "
            f"give data.bits={fewest}."
        )
    return asked or 16
