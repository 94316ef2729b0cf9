import numpy as np
import pytest
import torch
from PIL import Image

from tests.images import TURNED
from vig_pyg.detection.turns import settle, turn_boxes, turn_boxes_back, turn_maps, turn_maps_back, turned_size


def photo(path, orientation, size=(24, 40)):
    """A file whose upright image has that size."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.zeros((*size, 3), dtype=np.uint8)
    Image.fromarray(np.ascontiguousarray(TURNED[orientation](pixels))).save(path, exif=exif)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_and_maps_turn_as_pixels_do(orientation):
    rng = np.random.default_rng(orientation)
    for _ in range(20):
        upright = np.zeros((24, 40), dtype=np.uint8)
        y1, x1 = rng.integers(0, 20, 2)
        h, w = rng.integers(1, 5, 2)
        upright[y1 : y1 + h, x1 : x1 + w] = 1
        raw = torch.from_numpy(np.ascontiguousarray(TURNED[orientation](upright)))
        rows, columns = raw.nonzero().t()
        raw_box = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])[None].float()
        box = torch.tensor([[x1, y1, x1 + w, y1 + h]]).float()
        assert turned_size(tuple(raw.shape), orientation) == (24, 40)
        assert torch.equal(turn_boxes(raw_box, (24, 40), orientation), box)
        assert torch.equal(turn_boxes_back(box, (24, 40), orientation), raw_box)
        assert torch.equal(turn_maps(raw[None], orientation)[0], torch.from_numpy(upright))
        assert torch.equal(turn_maps_back(torch.from_numpy(upright), orientation), raw)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_of_the_annotation_tells_whether_boxes_must_be_turned(tmp_path, orientation):
    path = photo(tmp_path / "a.jpg", orientation)
    if orientation == 1:
        assert settle(path, (24, 40), objects=True) == ((24, 40), 1)
        assert settle(path, None, objects=True) == ((24, 40), 1)
    elif orientation > 4:
        assert settle(path, (24, 40), objects=True) == ((24, 40), 1)  # drawn on the upright image
        assert settle(path, (40, 24), objects=True) == ((40, 24), orientation)  # drawn on raw pixels
    else:
        with pytest.raises(ValueError, match=rf"a\.jpg.*orientation {orientation}.*same before and after"):
            settle(path, (24, 40), objects=True)
    assert settle(path, (9, 9), objects=True) == ((9, 9), 1)
    assert settle(path, None, objects=False) == ((24, 40), 1)
    if orientation != 1:
        with pytest.raises(ValueError, match=r"a\.jpg.*gives no size.*without EXIF orientation"):
            settle(path, None, objects=True)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_square_looks_the_same(tmp_path, orientation):
    path = photo(tmp_path / "a.png", orientation, (30, 30))
    with pytest.raises(
        ValueError, match="Save the image without EXIF orientation, as it was when the boxes were drawn"
    ):
        settle(path, (30, 30), objects=True)
    assert settle(path, (30, 30), objects=False)[0] == (30, 30)


def test_files_that_are_no_pictures_are_named_later_unless_a_size_is_needed(tmp_path):
    (tmp_path / "a.jpg").write_text("text")
    assert settle(tmp_path / "a.jpg", (3, 4), objects=True) == ((3, 4), 1)
    with pytest.raises(ValueError, match=r"a\.jpg cannot be read as an image"):
        settle(tmp_path / "a.jpg", None, objects=True)
