"""Our models in the libraries around timm, one function each: `python -m tests.timm.peers NAME`, without downloads."""

import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import timm
import torch
from PIL import Image

import vig_pyg.timm
from vig_pyg import pvig_micro


def smp():
    """segmentation_models_pytorch: four decoders on a pyramid, from forward to gradients."""
    import segmentation_models_pytorch as smp

    for decoder in (smp.Unet, smp.FPN, smp.UPerNet, smp.Segformer):
        for channels in (3, 4):
            model = decoder("tu-pvig_tiny", encoder_weights=None, in_channels=channels, classes=5)
            masks = model(torch.rand(2, channels, 64, 96))
            assert masks.shape == (2, 5, 64, 96), (decoder, masks.shape)
            masks.square().mean().backward()
            missing = [key for key, p in model.named_parameters() if p.grad is None]
            assert not missing, (decoder, missing)
    names = [key for key, _ in model.encoder.named_parameters()]
    assert not [key for key in names if "head" in key]


def transformers():
    """transformers: `TimmBackbone`, DETR and UperNet on a backbone of ours, and the wrapper of a saved classifier."""
    from transformers import (
        DetrConfig,
        DetrForObjectDetection,
        TimmBackbone,
        TimmBackboneConfig,
        TimmWrapperForImageClassification,
        UperNetConfig,
        UperNetForSemanticSegmentation,
    )

    images = torch.rand(2, 3, 64, 96)
    config = TimmBackboneConfig(backbone="pvig_tiny", out_indices=(0, 1, 2, 3))
    backbone = TimmBackbone(config)
    maps = backbone(images).feature_maps
    assert [m.shape[1] for m in maps] == backbone.channels == [48, 96, 240, 384]
    assert [64 // m.shape[2] for m in maps] == [4, 8, 16, 32]
    small = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    small |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_queries": 5}
    detector = DetrForObjectDetection(
        DetrConfig(
            backbone_config=TimmBackboneConfig(backbone="pvig_tiny", out_indices=(3,)), use_timm_backbone=False, **small
        )
    )
    found = detector(images, labels=[{"class_labels": torch.tensor([1]), "boxes": torch.rand(1, 4)}] * 2)
    assert found.logits.shape[:2] == (2, 5)
    found.loss.backward()
    segmenter = UperNetForSemanticSegmentation(
        UperNetConfig(
            backbone_config=config, hidden_size=32, num_labels=4, use_auxiliary_head=True, auxiliary_in_channels=240
        )
    )
    masks = segmenter(images, labels=torch.zeros(2, 64, 96, dtype=torch.long))
    assert masks.logits.shape == (2, 4, 64, 96)
    masks.loss.backward()
    folder, model = mkdtemp(), pvig_micro(num_classes=3).eval()
    model.class_names = ["a", "b", "c"]
    model.save_pretrained(folder)
    wrapper = TimmWrapperForImageClassification.from_pretrained(folder).eval()
    small_images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(wrapper(small_images).logits, model(small_images))
    assert wrapper.config.id2label == {0: "a", 1: "b", 2: "c"}


def make_images(root, side=32, count=16):
    """A folder of images of two classes, `train/` and `validation/`."""
    noise = np.random.default_rng(0)
    for part in ("train", "validation"):
        for label, value in (("dark", 0), ("light", 128)):
            folder = Path(root) / part / label
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                pixels = noise.integers(value, value + 128, (side, side, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return Path(root)


def fastai():
    """Fine-tunes a model of ours with fastai's `vision_learner`, and predicts."""
    from fastai.vision.all import ImageDataLoaders, accuracy, vision_learner

    root = make_images(mkdtemp())
    data = ImageDataLoaders.from_folder(root, train="train", valid="validation", bs=8, num_workers=0)
    learner = vision_learner(data, "pvig_micro", pretrained=False, normalize=False, metrics=accuracy)
    with learner.no_bar(), learner.no_logging():
        learner.fit(2, 1e-2)
        shares, _ = learner.get_preds()
    assert shares.shape == (32, 2)
    assert not [key for key, _ in learner.model[0].named_parameters() if "head" in key]


if __name__ == "__main__":
    print(timm.__version__, vig_pyg.timm.__name__)
    globals()[sys.argv[1]]()
    print("done")
