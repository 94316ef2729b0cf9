import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

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


@pytest.mark.parametrize(("height", "width"), [(32, 320), (320, 32)])
def test_a_strip_is_no_thin_line(height, width):
    fig = draw_attribution(torch.rand(3, height, width), torch.randn(height // 8, width // 8))
    FigureCanvasAgg(fig).draw()
    left, right = (axes.get_window_extent() for axes in fig.axes[:2])
    assert max(left.width, left.height) > 350
    assert bool(left.y0 > right.y1) is (width > height)  # wide images are below each other
