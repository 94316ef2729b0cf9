import random

import pytest

from vig_pyg._io.numbers import counted, few_images, per_second, percent


@pytest.mark.parametrize(
    ("share", "shown"), [(0, "0.0 %"), (1, "100.0 %"), (0.97549, "97.5 %"), (-0.001, "-0.1 %"), (float("nan"), "-")]
)
def test_percent_has_one_decimal(share, shown):
    assert percent(share) == shown


def test_percent_is_the_nearest():
    rng = random.Random(0)
    for share in (rng.random() for _ in range(500)):
        number, sign = percent(share).split(" ")
        assert sign == "%" and abs(float(number) - 100 * share) <= 0.05 + 1e-9


def test_thousands_are_separated():
    assert [counted(n, "images") for n in (0, 999, 1000, 1234567)] == [
        "0 images", "999 images", "1,000 images", "1,234,567 images"
    ]  # fmt: skip


def test_speeds():
    assert [per_second(rate) for rate in (0.04, 9.96, 99.94, 100.4, 12345.6)] == [
        "0.0 images/s", "10.0 images/s", "99.9 images/s", "100 images/s", "12,346 images/s"
    ]  # fmt: skip


def test_few_images_are_mentioned():
    for count in range(1, 100):
        text = few_images(count, shares=True)
        assert text.startswith(few_images(count, shares=False)) and text.startswith(f"{count} validation image")
        assert count == 1 or float(text.split(" counts ")[1].removesuffix(" %")) == pytest.approx(
            100 / count, abs=0.051
        )
    assert few_images(1, shares=True) == "1 validation image"  # that it is 100 % needs no words
    for count in (0, 100, 50_000):
        assert few_images(count, shares=True) == few_images(count, shares=False) == ""


@pytest.mark.parametrize(
    ("many", "one"),
    [("images", "image"), ("classes", "class"), ("boxes", "box"), ("epochs each", "epoch each"),
     ("training steps", "training step"), ("classes of images", "class of images"), ("patches", "patch"),
     ("more", "more")],
)  # fmt: skip
def test_one_is_singular(many, one):
    assert [counted(n, many) for n in (0, 1, 2)] == [f"0 {many}", f"1 {one}", f"2 {many}"]
