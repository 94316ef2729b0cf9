import numpy as np
import onnxruntime
import pytest
import torch

from tests.segmentation.common import segmenter, settled
from vig_pyg.segmentation.export import to_onnx

pytestmark = pytest.mark.filterwarnings("ignore")  # exporters warn of their own code


def run(path, images):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


@pytest.mark.parametrize("name", ["semantic_fpn", pytest.param("upernet", marks=pytest.mark.slow)])
def test_a_file_gives_the_logits_of_the_network(tmp_path, name):
    model = settled(segmenter(name)).train()
    path = to_onnx(model, tmp_path / "a.onnx", image_size=(48, 64))
    assert model.training
    images = torch.rand(2, 3, 48, 64)
    with torch.inference_mode():
        want = model.eval()(images)["out"]
    found = run(path, images)
    assert found.shape == want.shape == (2, 3, 48, 64)
    # the two may choose another one of two equally near neighbors, which changes few pixels
    assert (found.argmax(1) == want.argmax(1)).float().mean() > 0.98
    assert np.median((found - want).abs().numpy()) < 1e-3
    with pytest.raises(FileExistsError):
        to_onnx(model, path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["semantic_fpn", "upernet"])
def test_a_file_for_any_size(tmp_path, name):
    model = settled(segmenter(name))
    path = to_onnx(model, tmp_path / "a.onnx", image_size=(48, 64), dynamic_size=True)
    for size in [(17, 17), (40, 70), (66, 33)]:
        images = torch.rand(1, 3, *size)
        with torch.inference_mode():
            want = model(images)["out"]
        found = run(path, images)
        assert found.shape == want.shape
        assert (found.argmax(1) == want.argmax(1)).float().mean() > 0.98
