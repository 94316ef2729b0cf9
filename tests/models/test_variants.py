import pytest

from vig_pyg import PyramidViG, ViG
from vig_pyg.models import ViGConfig


@pytest.fixture(params=[ViG, PyramidViG])
def family(request):
    return request.param


@pytest.mark.parametrize(("variant", "error"), [("huge", ValueError), (None, TypeError), (ViGConfig, TypeError)])
def test_an_unknown_variant_is_refused(family, variant, error):
    with pytest.raises(error, match=f"{family.__name__}"):
        family(variant)


def test_an_unknown_variant_lists_the_valid_ones():
    with pytest.raises(ValueError, match="Unknown variant 'huge' of ViG: choose one of micro, tiny, small, base"):
        ViG("huge")


def test_a_model_is_made_from_a_configuration_too(family):
    model = family("micro", num_classes=5)
    again = family(model.config, k=3)
    assert again.config == model.config.override({"k": 3})
