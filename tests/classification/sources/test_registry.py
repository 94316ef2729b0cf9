import pytest

from vig_pyg.classification import DigitsData, list_sources, load_config, load_data, register_source
from vig_pyg.classification.sources import SOURCES


@pytest.fixture
def small_digits():
    @register_source("small_digits", in_channels=1)
    def small_digits(image_size, batch_size, num_workers):
        return DigitsData(image_size=image_size, batch_size=batch_size, num_workers=num_workers)

    yield "small_digits"
    SOURCES.remove("small_digits")


def load(name, **values):
    return load_data(load_config("digits", ("test", {"data": name, **values})))


def test_a_source_gets_the_values_that_it_names(small_digits):
    data = load(small_digits, image_size=12, batch_size=9)
    assert list_sources() == ["digits", "cifar10", "cifar100", "small_digits"]
    assert (data.preprocessing.image_size, data.batch_size, data.num_workers) == (12, 9, 0)


@pytest.mark.parametrize("values", [{"cache": 64}, {"crop_pct": 0.9}, {"in_channels": 3}])
def test_values_without_effect_are_refused(small_digits, values):
    with pytest.raises(ValueError, match="small_digits has fixed values: in_channels=1, no cache and no crop"):
        load(small_digits, **values)


def test_images_of_other_channels_are_refused():
    register_source("gray")(lambda batch_size: DigitsData(batch_size=batch_size))
    try:
        with pytest.raises(ValueError, match="gray has images of 1 channels, expected in_channels=3"):
            load("gray", in_channels=3)
    finally:
        SOURCES.remove("gray")
