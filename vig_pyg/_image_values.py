"""Types and bounds of values that describe images, without the packages that read images."""

from __future__ import annotations

from vig_pyg._io.schema import either, listing, number

#: Largest number of pixels per side of an image, before and after the crop.
SIDE_LIMIT = 16_384
#: The mean or standard deviation of pixels from 0 to 1: one number for all channels, or one for each channel.
Statistic = float | tuple[float, ...]
#: Checks of a mean and of a standard deviation.
check_mean = either(listing(number(-1_000, 1_000), 1, 1_024), number(-1_000, 1_000))
check_std = either(listing(number(1e-6, 1_000), 1, 1_024), number(1e-6, 1_000))
