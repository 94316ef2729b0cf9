import random

import pytest
import torch

from tests.segmentation.common import NAMES, segmenter, settled
from vig_pyg.detection import FrozenBatchNorm


def drawn(seed, count=6, largest=70):
    """Sizes of a batch: odd ones, some of them equal."""
    draw = random.Random(seed)
    sizes = [(draw.randint(1, largest), draw.randint(1, largest)) for _ in range(count - 2)]
    return [*sizes, sizes[0], (1, 1)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [0, 1])
def test_an_image_alone_has_the_logits_that_it_has_in_a_batch_of_several_sizes(name, seed, dtype, tolerance):
    torch.manual_seed(seed)
    model = settled(segmenter(name).to(dtype))
    images = [torch.rand(3, *size, dtype=dtype) for size in drawn(seed)]
    with torch.inference_mode():
        together = model(images)["out"]
        for image, logits in zip(images, together, strict=True):
            assert logits.shape == (3, *image.shape[1:])
            scale = logits.abs().max().clamp_min(1)
            for alone in (model(image[None])["out"][0], model([image])["out"][0]):
                assert (alone - logits).abs().max() <= tolerance * scale


@pytest.mark.parametrize("name", NAMES)
def test_a_list_of_one_size_is_a_batch(name):
    model, images = settled(segmenter(name)), torch.rand(3, 3, 33, 50)
    with torch.inference_mode():
        torch.testing.assert_close(torch.stack(model(list(images))["out"]), model(images)["out"])


@pytest.mark.parametrize("name", NAMES)
def test_a_ragged_batch_trains_every_parameter(name):
    model = segmenter(name).train()
    out = model([torch.rand(3, *size) for size in [(50, 40), (20, 33), (50, 40)]])["out"]
    torch.stack([logits.square().mean() for logits in out]).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("layers", range(6))
def test_frozen_layers_and_norms_do_not_change(layers):
    model = segmenter(trainable_layers=layers, norm="frozen" if layers == 3 else "batch").train()
    body = model.body
    order = [*reversed(body.stages), body.stem]
    trained = [any(p.requires_grad for p in part.parameters()) for part in order]
    assert trained == [i < layers for i in range(5)]
    before = {key: tensor.clone() for key, tensor in body.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    model(torch.rand(2, 3, 32, 32))["out"].square().mean().backward()
    optimizer.step()
    changed = {key for key, tensor in body.state_dict().items() if not torch.equal(tensor, before[key])}
    names = [*[f"stages.{3 - i}." for i in range(4)], "stem."]
    for i, name in enumerate(names):
        assert any(key.startswith(name) for key in changed) == (i < layers), name
    if layers == 3:
        assert not any("running" in key for key in changed)
        assert not any(isinstance(m, torch.nn.BatchNorm1d) for m in body.modules())
        assert any(isinstance(m, FrozenBatchNorm) for m in body.modules())


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "Got no images"),
        (torch.rand(0, 3, 32, 32), "Got no images"),
        (torch.rand(3, 32, 32), "as a tensor"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "as floats"),
        (torch.zeros(1, 3, 1, 1, dtype=torch.uint8), "as floats"),
        (torch.rand(1, 1, 32, 32), "3 channels"),
        ([torch.rand(3, 32, 32), torch.full((3, 40, 40), torch.nan)], "not finite"),
    ],
)
def test_what_is_no_image_is_refused(images, message):
    with pytest.raises(ValueError, match=message):
        segmenter().eval()(images)


def test_a_pyramid_in_timm_s_form_is_a_body():
    import timm

    import vig_pyg.timm  # noqa: F401
    from vig_pyg.segmentation import Segmenter, SemanticFPN

    body = timm.create_model("pvig_micro", img_size=32)
    head = SemanticFPN([32, 48, 64, 96], 3, out_channels=16, head_channels=8)
    assert Segmenter(body, head).eval()(torch.rand(1, 3, 40, 50))["out"].shape == (1, 3, 40, 50)
