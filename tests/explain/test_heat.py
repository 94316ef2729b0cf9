import pytest
import torch

from vig_pyg.explain import draw_attribution


def test_heat_lies_over_the_image_and_zero_is_clear():
    scores = torch.tensor([[0.0, 2.0], [-1.0, 0.5]])
    fig = draw_attribution(torch.rand(1, 32, 48), scores)
    heat = fig.axes[1].images[1]
    assert heat.get_array().tolist() == scores.tolist()
    assert heat.get_clim() == (-2, 2)
    assert heat.get_extent() == fig.axes[1].images[0].get_extent() == [0, 48, 32, 0]
    assert heat.get_alpha()[0, 0] == 0
    assert heat.get_alpha()[0, 1] == heat.get_alpha().max()


def test_scores_of_nought_can_be_drawn():
    fig = draw_attribution(torch.rand(3, 32, 32), torch.zeros(4, 4))
    assert fig.axes[1].images[1].get_clim() == (-1, 1)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="Expected an image"):
        draw_attribution(torch.rand(32, 32), torch.zeros(4, 4))
    with pytest.raises(ValueError, match="one finite score"):
        draw_attribution(torch.rand(3, 32, 32), torch.zeros(16))
    with pytest.raises(ValueError, match="NaN"):
        draw_attribution(torch.rand(3, 32, 32), torch.full((4, 4), torch.nan))
