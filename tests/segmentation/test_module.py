import pytest
import torch
from torch import nn

from tests.segmentation.common import plan, segmenter
from tests.segmentation.scenes import make_folder
from vig_pyg.engine import TrainConfig, fit
from vig_pyg.segmentation.loading import load_data
from vig_pyg.segmentation.losses import class_weights, cross_entropy, dice_loss, ohem_cross_entropy
from vig_pyg.segmentation.module import SegmentationModule

NAMES = ["a", "b", "c"]


def batch():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (2, 32, 40), generator=generator).byte()
    labels[0, :9] = 255
    return torch.rand(2, 3, 32, 40, generator=generator), labels


def module(config, **options):
    torch.manual_seed(0)
    return SegmentationModule(segmenter(head_dropout=0.0), config, class_names=NAMES, **options)


def test_losses_are_those_of_the_configuration():
    images, labels = batch()
    counts = torch.tensor([10, 20, 70])
    for loss, function in (("ce", cross_entropy), ("ohem", ohem_cross_entropy)):
        for rule in ("none", "sqrt"):
            one = module(plan("a", loss=loss, class_weights=rule, dice=0.5), class_counts=counts).eval()
            found, count = one.losses((images, labels))
            logits = one(images)["out"]
            want = function(logits, labels.long(), class_weights(counts, rule))
            dice = dice_loss(logits, labels.long())
            assert count == 2 and found.keys() == {"loss", "cross_entropy", "dice"}
            torch.testing.assert_close(found["loss"], want + 0.5 * dice)
    assert module(plan("a")).losses(batch())[0].keys() == {"loss"}
    assert module(TrainConfig()).losses(batch())[0].keys() == {"loss"}


def test_weights_of_classes_need_their_counts():
    with pytest.raises(ValueError, match="needs the number of training pixels"):
        module(plan("a", class_weights="sqrt"))


def test_weights_are_no_part_of_a_checkpoint():
    one = module(plan("a", class_weights="sqrt"), class_counts=torch.tensor([1, 2, 3]))
    assert not any(key == "weight" for key in one.state_dict())


def test_validation_counts_every_labeled_pixel_at_the_size_of_the_mask():
    one = module(plan("a")).eval()
    truth = [torch.randint(0, 3, size).byte() for size in ((30, 40), (25, 17))]
    truth[0][:5] = 255
    images = [torch.rand(3, 30, 40), torch.rand(3, 50, 34)]  # the second was enlarged
    one.validation_step((images, truth), 0)
    counts = one.confusion.compute()
    assert counts.sum() == 25 * 40 + 25 * 17
    assert (
        counts.sum(1).tolist()
        == torch.bincount(torch.cat([part[part != 255] for part in truth]).long(), minlength=3).tolist()
    )
    padding = torch.zeros(3, 1, 1), torch.full((1, 1), 255, dtype=torch.uint8)
    one.validation_step(([padding[0]], [padding[1]]), 1)
    assert one.confusion.compute().sum() == counts.sum()


@pytest.mark.parametrize("name", ["body", "backbone", "encoder"])
def test_the_backbone_of_other_models_is_found(name):
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            setattr(self, name, nn.Conv2d(3, 4, 1))
            self.decoder = nn.Conv2d(4, 3, 1)

    model = Other()
    one = SegmentationModule(model, TrainConfig(freeze=True), class_names=NAMES)
    assert one.backbone() == [getattr(model, name)]
    assert not any(p.requires_grad for p in getattr(model, name).parameters())
    assert all(p.requires_grad for p in model.decoder.parameters())


def test_a_network_with_torchvision_s_interface_is_trained_and_evaluated(tmp_path):
    """It takes batches of one size only, as torchvision's networks do."""

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone, self.classifier = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1)

        def forward(self, images):
            assert images.dim() == 4
            return {"out": self.classifier(self.backbone(images).relu())}

    config = plan(make_folder(tmp_path / "data", count=4), epochs=1, batch_size=2)
    last = fit(Plain(), load_data(config), config, tmp_path / "run", progress=False)
    assert last["val_mIoU"] > 0
