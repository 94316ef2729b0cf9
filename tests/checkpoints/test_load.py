import pytest
import torch

from tests.weights.common import FAMILIES, FORMATS, copied, drawn, same
from vig_pyg import list_models, pvig_micro, vig_micro, weights
from vig_pyg.checkpoints.load import identify_variant, load_state
from vig_pyg.config import MODELS, PyramidViGConfig, register_model
from vig_pyg.models import family_of


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_state_dict_in_any_format(family, format):
    model, fresh = drawn(FAMILIES[family]()), FAMILIES[family]()
    report = load_state(fresh, weights.convert(model, format), where="here")
    assert (report.source, report.format, report.notes) == ("here", format, ())
    assert same(copied(model), copied(fresh))


def test_what_is_known_of_the_network_goes_before_what_it_says():
    with pytest.raises(ValueError, match="conv='edge' in the weights, 'mr' here"):
        load_state(vig_micro(), vig_micro().state_dict(), known={"conv": "edge"})
    assert load_state(vig_micro(), vig_micro().state_dict(), known={"conv": "mr"}).notes == ()


def test_every_registered_variant_is_recognized():
    register_model("pvig_odd", PyramidViGConfig(depths=(1, 2), channels=(24, 40), reduce_ratios=(2, 1)))
    try:
        for name in list_models():
            with torch.device("meta"):
                state = family_of(MODELS[name])(MODELS[name]).state_dict()
            if name.startswith("wignet"):  # the names and shapes of a Pyramid ViG; only the record tells them apart
                assert identify_variant(state) == name
                continue
            formats = FORMATS if name.startswith(("vig", "pvig")) else ("native", "official")
            assert {identify_variant(weights.convert(dict(state), format)) for format in formats} == {name}
    finally:
        MODELS.remove("pvig_odd")
    assert identify_variant(pvig_micro(channels=(8, 16, 24, 32)).state_dict()) == ""
