import pytest
import torch

import vig_pyg
from vig_pyg import family_builders, list_models

NAMES = [name for name in list_models() if name.split("_")[0] in ("mobilevig", "greedyvig", "mobilevigv2", "wignet")]


@pytest.mark.parametrize("name", NAMES)
def test_each_variant_has_a_builder(name):
    build = getattr(family_builders, name)
    assert getattr(vig_pyg, name) is build
    with torch.device("meta"):
        model = build(num_classes=3)
        count = sum(parameter.numel() for parameter in build().parameters())
    assert model.config.num_classes == 3 and f"{count / 1e6:.1f} M parameters" in build.__doc__


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match="GreedyViGConfig has no option 'hop'"):
        vig_pyg.greedyvig_small(hop=2)
