import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.parity.family import rule
from vig_pyg import create_model, vig_micro
from vig_pyg.classification import ClassificationConfig
from vig_pyg.classification.module import IGNORE, Classifier
from vig_pyg.engine.metrics import MetricsHistory
from vig_pyg.engine.task import LossNotFiniteError


def classifier(classes=2, counts=None, **options):
    torch.manual_seed(0)
    recipe = ClassificationConfig(
        **{"lr": 1e-2, "weight_decay": 0.1, "warmup": "50%", "label_smoothing": 0.0} | options
    )
    return Classifier(vig_micro(num_classes=classes, depth=1), recipe, class_counts=counts)


def run(module, images, labels, epochs=2):
    history = MetricsHistory("val_accuracy")
    loader = DataLoader(TensorDataset(images, labels), batch_size=4)
    trainer = lightning.Trainer(
        max_epochs=epochs, callbacks=[history], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu",
    )  # fmt: skip
    trainer.fit(module, loader, loader)
    return history


pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec"),
    pytest.mark.filterwarnings("ignore:.*in eval mode"),
]


def two_colors(count=16):
    labels = torch.tensor([0, 1] * (count // 2))
    return torch.randn(count, 3, 32, 32) * 0.1 + labels.view(-1, 1, 1, 1) * 2.0 - 1, labels


def test_learns_and_counts():
    module = classifier()
    history = run(module, *two_colors(), epochs=4)
    assert [row["epoch"] for row in history.rows] == [1, 2, 3, 4]
    assert history.rows[-1]["train_loss"] < history.rows[0]["train_loss"]
    assert history.rows[-1]["val_accuracy"] == 1
    assert module.confusion.compute().tolist() == [[8, 0], [0, 8]]
    assert "val_top5" not in history.rows[0]


def test_the_losses_are_means_over_images():
    module = classifier(classes=7, lr=1e-12, weight_decay=0.0)
    images, labels = two_colors(10)  # the last batch is smaller
    history = run(module, images, labels, epochs=1)
    with torch.no_grad():
        logits = torch.cat([module.eval()(part) for part in images.split(4)])
        batches = [
            nn.functional.cross_entropy(module.train()(x), y)
            for x, y in zip(images.split(4), labels.split(4), strict=True)
        ]
    loss = nn.functional.cross_entropy(logits, labels).item()
    assert history.rows[0]["val_loss"] == pytest.approx(loss, rel=1e-5)
    sizes = [4, 4, 2]
    expected = sum(size * batch.item() for size, batch in zip(sizes, batches, strict=True)) / 10
    assert history.rows[0]["train_loss"] == pytest.approx(expected, rel=1e-4)
    top5 = (logits.topk(5).indices == labels[:, None]).any(1).float().mean().item()
    assert history.rows[0]["val_top5"] == pytest.approx(top5)


def test_images_that_fill_up_do_not_count():
    images, labels = two_colors(8)
    filling = torch.cat([labels[4:6], torch.tensor([IGNORE] * 2)])
    trainer = lightning.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu")

    def scores(module, *batches):
        return trainer.validate(module, DataLoader(list(batches), batch_size=None), verbose=False)[0]

    module, first = classifier(), (images[:4], labels[:4])
    alone = scores(classifier(), first, (images[4:6], labels[4:6]))
    # a product over four rows may round otherwise than one over two, as threads share it out
    assert scores(module, first, (images[4:], filling)) == pytest.approx(alone, rel=1e-6)
    assert module.confusion.compute().sum() == 6


def test_a_loss_that_is_not_finite_stops_with_the_step():
    module = classifier()
    with torch.no_grad():
        module.model.head.fc2.bias.fill_(torch.nan)
    with pytest.raises(LossNotFiniteError, match="The loss is nan at step 0: lower the learning rate"):
        run(module, torch.randn(8, 3, 32, 32), torch.zeros(8, dtype=torch.long))


def test_the_rate_rises_then_falls():
    module, seen = classifier(), []
    module.on_train_batch_end = lambda *_: seen.append(module.optimizers().param_groups[0]["lr"])
    run(module, torch.randn(16, 3, 32, 32), torch.tensor([0, 1] * 8), epochs=2)
    peak = seen.index(max(seen))
    assert len(seen) == 8
    assert 0 < peak < 7
    assert seen[-1] < 0.2 * max(seen)


def test_a_frozen_backbone_stays_and_the_head_learns():
    module = classifier(freeze=True)
    before = {name: value.clone() for name, value in module.model.state_dict().items()}
    run(module, *two_colors())
    for name, value in module.model.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith("head."), name
    assert module.train().model.head.norm.training
    assert not module.model.stem.training


def test_rare_classes_weigh_more():
    module = classifier(class_weights=True, counts=torch.tensor([1, 3]))
    assert module.loss.weight.tolist() == pytest.approx([2, 2 / 3])
    with pytest.raises(ValueError, match="number of training images"):
        classifier(class_weights=True)


def test_mixing_makes_soft_labels_and_needs_pairs():
    module = classifier(mixup=1.0, cutmix=1.0, label_smoothing=0.1)
    assert module.loss.label_smoothing == 0
    images, labels = two_colors(8)
    mixed, soft = module.mix(images.clone(), labels)
    assert not torch.equal(mixed, images)
    torch.testing.assert_close(soft.sum(1), torch.ones(8))
    assert soft.min() >= 0.05 - 1e-6
    with pytest.raises(ValueError, match="even batch, got 3"):
        module.training_step((images[:3], labels[:3]), 0)


def test_dropout_follows_from_the_place_and_the_seed():
    images, labels = two_colors()

    def losses(seed):
        module = classifier(seed=seed)
        module.model.head.dropout.p = 0.5
        torch.manual_seed(torch.seed())
        return [row["train_loss"] for row in run(module, images, labels, epochs=1).rows]

    assert losses(0) == losses(0) != losses(1)


def test_the_losses_of_two_last_layers_are_averaged():
    model = create_model(rule.SMALL["small_mobilevig"], num_classes=3, distillation=True, drop_path_rate=0.0)
    module = Classifier(model, ClassificationConfig(label_smoothing=0.0))
    images, labels = torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
    found, count = module.losses((images, labels))
    one, other = model(images)
    want = (nn.functional.cross_entropy(one, labels) + nn.functional.cross_entropy(other, labels)) / 2
    torch.testing.assert_close(found["loss"], want)
    assert count == 4
