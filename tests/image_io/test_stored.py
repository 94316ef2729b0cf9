import numpy as np
import pytest
from PIL import Image

from tests.images import scene
from vig_pyg.image_io import StoredImage, UnreadableImageError, read, read_image


class Stored(StoredImage):
    def __init__(self, content):
        self.given = content

    def content(self):
        if isinstance(self.given, Exception):
            raise self.given
        return self.given


def test_bytes_are_read_like_a_file(tmp_path):
    for name, array in (("a.png", scene()), ("b.npy", scene()), ("c.npy", scene() / 255)):
        path = tmp_path / name
        np.save(path, array) if name.endswith("npy") else Image.fromarray(array).save(path)
        got, want = (np.asarray(read_image(one)) for one in (Stored(path.read_bytes()), path))
        assert got.dtype == want.dtype and (got == want).all()
    assert (np.asarray(read_image(Stored(str(tmp_path / "a.png")))) == scene()).all()


def test_arrays_of_pixels_become_images_if_their_channels_can_be_converted():
    assert read_image(Stored(scene())).mode == "RGB" and read_image(Stored(scene()[..., 0])).mode == "L"
    assert read_image(Stored(np.zeros((3, 4, 4), np.uint8))).mode == "RGBA"
    for other in (np.zeros((3, 4, 6), np.uint8), np.zeros((3, 4), np.float32)):
        assert read_image(Stored(other)) is other


def test_limits_and_reasons_are_those_of_files(monkeypatch, tmp_path):
    for content, said in (
        (b"", "the file is empty"),
        (b"text", "not an image"),
        (b"\x93NUMPY\1\0", "damaged or cut short"),
    ):
        with pytest.raises(UnreadableImageError, match=said):
            read_image(Stored(content))
    np.save(tmp_path / "a.npy", scene())
    with pytest.raises(UnreadableImageError, match="fewer bytes than its header"):
        read_image(Stored((tmp_path / "a.npy").read_bytes()[:-1]))
    monkeypatch.setattr(read, "MAX_BYTES", 3)
    with pytest.raises(UnreadableImageError, match="larger than 3 bytes"):
        read_image(Stored(b"text"))


@pytest.mark.parametrize("error", [UnreadableImageError("no row"), FileNotFoundError("no shard")])
def test_errors_of_the_content_are_kept(error):
    with pytest.raises(type(error), match=str(error)):
        read_image(Stored(error))
    with pytest.raises(NotImplementedError):
        StoredImage().content()
