import csv

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from tests.images import make_folder
from vig_pyg import create_model, mobilevig_tiny, pvig_micro
from vig_pyg.classification import ClassificationConfig, load_config, load_data, make_model
from vig_pyg.classification.distillation import Teacher, check_student, distillation_loss, open_teacher
from vig_pyg.classification.module import Classifier
from vig_pyg.cli import main
from vig_pyg.engine import TrainingInterrupted, fit
from vig_pyg.preprocess import Preprocessing
from vig_pyg.weights import read_state

STUDENT = {"channels": (8, 12, 16, 20), "local_depths": (1, 1, 1, 0), "graph_depths": (0, 0, 0, 1), "head_channels": 12}
BOTH = {**STUDENT, "distillation": True}
SMALL = {"image_size": 32, "batch_size": 4, "num_workers": 0, "lr": 1e-2, "epochs": 2, "model": "mobilevig_tiny"}
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
pytestmark = pytest.mark.filterwarnings("ignore:.*in eval mode")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("pets") / "images")


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    """A saved teacher for the images."""
    torch.manual_seed(1)
    names = load_data(
        load_config("scratch", ("test", {"data": str(images), "image_size": 32, "batch_size": 4}))
    ).class_names
    model = pvig_micro(num_classes=len(names), depths=(1, 1, 1, 1)).eval()
    model.class_names, model.preprocessing = names, Preprocessing(image_size=40, mean=0.3, std=0.7)
    model.save_pretrained(tmp_path_factory.mktemp("teacher") / "saved")
    return tmp_path_factory.getbasetemp() / "teacher0" / "saved"


def configured(images, teacher, **values):
    options = values.pop("options", BOTH)
    return load_config(
        "scratch", ("test", {"data": str(images), "teacher": str(teacher), "options": options, **SMALL, **values})
    )


def train(config, out, **how):
    data = load_data(config)
    model = make_model(config.model, config.options, data, seed=config.seed)
    return fit(model, data, config, out, progress=False, **how)


@pytest.mark.parametrize("alpha", [0.5, 0.25])
@pytest.mark.parametrize("kind", [None, "hard", "soft"])
@pytest.mark.parametrize("mix", [0.0, 1.0])
def test_the_loss_is_that_of_deit(kind, alpha, mix):
    torch.manual_seed(0)
    values = {
        "distillation": kind,
        "distillation_alpha": alpha,
        "distillation_tau": 2.0 if kind == "soft" else 1.0,
        "mixup": mix,
        "label_smoothing": 0.1,
    }
    config = ClassificationConfig(teacher="t", **values)
    student = mobilevig_tiny(num_classes=3, drop_path_rate=0, **BOTH)
    look = Preprocessing(image_size=32)
    network = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    teacher = Teacher(network, mean=IMAGENET[0], std=IMAGENET[1], given=look)
    task = Classifier(student, config, num_classes=3, teacher=teacher)
    task.train()
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    images, labels, seen = torch.randn(6, 3, 32, 32), torch.tensor([0, 1, 2, 2, 1, 0]), []
    student.register_forward_hook(lambda _, given, out: seen.append((given[0], out)))
    network.register_forward_hook(lambda _, given, out: seen.append((given[0], out)))
    parts, count = task.losses((images.clone(), labels))
    (received, (first, second)), (of_teacher, logits) = seen
    mean, std = (torch.tensor(one)[:, None, None] for one in IMAGENET)
    torch.testing.assert_close(of_teacher, (received * 0.5 + 0.5 - mean) / std)  # the same pixels
    assert bool((received != images).any()) == bool(mix) and count == 6
    if not mix:
        torch.testing.assert_close(parts["loss_labels"], F.cross_entropy(first, labels, label_smoothing=0.1))
    if kind == "soft":
        wanted = (logits / 2).softmax(1)
        expected = 4 * (wanted * (wanted.log() - (second / 2).log_softmax(1))).sum(1).mean()
    else:
        expected = F.cross_entropy(second, logits.argmax(1))
    torch.testing.assert_close(parts["loss_teacher"], expected)
    torch.testing.assert_close(parts["loss"], (1 - alpha) * parts["loss_labels"] + alpha * expected)
    before = [tensor.clone() for tensor in network.state_dict().values()]
    parts["loss"].backward()
    assert all(p.grad is not None for p in student.head.parameters()) and not logits.requires_grad
    assert all(torch.equal(one, two) for one, two in zip(before, network.state_dict().values(), strict=True))


def test_the_teacher_is_not_saved_and_a_resumed_run_is_the_same(images, folder, tmp_path):
    config = configured(images, folder)
    kept = train(config, tmp_path / "whole")
    state = read_state(tmp_path / "whole" / "model.safetensors")
    with torch.device("meta"):
        keys = create_model("mobilevig_tiny", num_classes=3, **BOTH).state_dict().keys()
    assert state.keys() == keys  # of the student only
    content = torch.load(tmp_path / "whole" / "last.ckpt", weights_only=True)
    assert not [key for key in content["state_dict"] if "teacher" in key]
    with (tmp_path / "whole" / "metrics.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    total = 0.5 * (float(row["train_loss_labels"]) + float(row["train_loss_teacher"]))
    assert float(row["train_loss"]) == pytest.approx(total, rel=1e-3)
    with pytest.raises(TrainingInterrupted):
        train(config, tmp_path / "cut", callbacks=[Stop()])
    assert train(config, tmp_path / "cut", resume=True) == kept
    again = read_state(tmp_path / "cut" / "model.safetensors")
    assert all(torch.equal(again[key], tensor) for key, tensor in state.items())


class Stop(__import__("lightning").Callback):
    """Stops after the first epoch, as a signal does."""

    def on_train_epoch_start(self, trainer, _):
        if trainer.current_epoch == 1:
            raise TrainingInterrupted(15)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (
            "mobilevig_tiny",
            STUDENT,
            r"has only one: create it with distillation=True \(--options.distillation true\)",
        ),
        ("pvig_micro", {}, "has only one: MobileViG, GreedyViG and MobileViGv2 have"),
    ],
)
def test_one_last_layer_is_refused(images, folder, tmp_path, model, options, message):
    config = configured(images, folder, model=model, options=options)
    with pytest.raises(ValueError, match=message):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    check_student(nn.Identity(), ClassificationConfig())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"distillation": "hard"}, "distillation=hard needs a teacher"),
        ({"teacher_weights": "a.pth"}, "teacher_weights=a.pth needs a teacher"),
        ({"teacher": "t", "distillation": "medium"}, "distillation must be one of hard, soft"),
        ({"teacher": "t", "distillation_alpha": 2}, "distillation_alpha"),
        ({"teacher": "t", "distillation_tau": 0}, "distillation_tau"),
        ({"distillation_alpha": 0.9}, "distillation_alpha=0.9 needs a teacher"),
        ({"distillation_tau": 3.0}, "distillation_tau=3.0 is an option of distillation=soft"),
        ({"teacher": "t", "distillation_tau": 3.0}, "distillation_tau=3.0 is an option of distillation=soft"),
    ],
)
def test_wrong_values_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        load_config("scratch", ("test", {"data": "images", **values}))


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_no_folder(name):
    with pytest.raises(ValueError, match="teacher is empty"):
        open_teacher(ClassificationConfig(teacher=name), ["a"], Preprocessing(image_size=32))


def test_an_unknown_tag_of_timm_is_named():
    with pytest.raises(ValueError, match=r"timm cannot create teacher=resnet18.nosuch: .*nosuch"):
        open_teacher(ClassificationConfig(teacher="resnet18.nosuch"), ["a"], Preprocessing(image_size=32))


def test_a_teacher_with_damaged_weights_is_refused(tmp_path):
    import timm

    state = timm.create_model("resnet10t", num_classes=2).state_dict()
    torch.save(
        {key: one * float("nan") if one.is_floating_point() else one for key, one in state.items()}, tmp_path / "t.pth"
    )
    config = ClassificationConfig(teacher="resnet10t", teacher_weights=str(tmp_path / "t.pth"))
    with pytest.raises(ValueError, match="logits that are not finite"):
        open_teacher(config, ["a", "b"], Preprocessing(image_size=32))


def test_a_teacher_of_other_classes_is_refused(folder):
    look = Preprocessing(image_size=32)
    config = ClassificationConfig(teacher=str(folder))
    names = open_teacher(config, load_names(folder), look) and load_names(folder)
    for wrong in (names[::-1], [*names[:-1], "other"], names[:-1]):
        with pytest.raises(ValueError, match=r"must have the classes of the data|classes, but the data has"):
            open_teacher(config, wrong, look)
    with pytest.raises(ValueError, match="There is no teacher resnet_unknown: pass the name of a timm model"):
        open_teacher(ClassificationConfig(teacher="resnet_unknown"), names, look)
    with pytest.raises(ValueError, match="cannot process images with 1 channels of 32 x 32"):
        open_teacher(config, names, Preprocessing(image_size=32, in_channels=1))


def load_names(folder):
    from vig_pyg.classification import load_classifier

    return list(load_classifier(folder).class_names)


@pytest.mark.parametrize("channels", [3, 1])
def test_a_network_of_timm_with_a_file(tmp_path, channels):
    torch.manual_seed(0)
    network = timm.create_model("resnet10t", num_classes=3, in_chans=channels).eval()
    torch.save({"state_dict": network.state_dict()}, tmp_path / "teacher.pth")
    config = ClassificationConfig(teacher="resnet10t", teacher_weights=str(tmp_path / "teacher.pth"))
    look = Preprocessing(image_size=32, in_channels=channels)
    state = torch.get_rng_state()
    teacher = open_teacher(config, ["a", "b", "c"], look)
    assert torch.equal(state, torch.get_rng_state())  # the student's numbers do not depend on it
    images = torch.rand(2, channels, 32, 32)
    mean, std = (torch.tensor(one)[:, None, None] for one in IMAGENET)
    if channels == 1:
        mean, std = mean.mean(), std.mean()
    with torch.no_grad():
        torch.testing.assert_close(teacher((images - 0.5) / 0.5), network((images - mean) / std), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="does not fit teacher=resnet10t"):
        open_teacher(config, ["a", "b"], look)


def test_a_pretrained_network_of_timm_is_asked_for(monkeypatch):
    asked = []

    def create(name, **options):
        asked.append((name, options))
        return real("resnet10t", num_classes=2)

    real = timm.create_model
    monkeypatch.setattr(timm, "create_model", create)
    config = ClassificationConfig(teacher="regnety_160.deit_in1k")
    assert open_teacher(config, ["a", "b"], Preprocessing(image_size=32)) is not None
    assert asked == [("regnety_160.deit_in1k", {"in_chans": 3, "pretrained": True})]


def test_the_command_trains_and_asks_before_a_download(images, folder, tmp_path, capsys):
    flags = [f"--options.{name}={list(value) if isinstance(value, tuple) else value}" for name, value in BOTH.items()]
    flags = [flag.replace("True", "true") for flag in flags]
    command = ["train", "--data", str(images), "--model", "mobilevig_tiny", "--image-size", "32", "--batch-size", "4"]
    command += [
        "--epochs",
        "1",
        "--num-workers",
        "0",
        "--teacher",
        str(folder),
        "--distillation",
        "soft",
        "--quiet",
        *flags,
    ]
    assert main([*command, "--out", str(tmp_path / "run")]) == 0
    assert "teacher: " in (tmp_path / "run" / "config.yaml").read_text()
    file = tmp_path / "run" / "config.yaml"
    file.write_text(file.read_text().replace(f"teacher: {folder}", "teacher: resnet10t"))
    capsys.readouterr()
    assert main(["train", "--resume", str(tmp_path / "run")]) == 2
    assert "whose weights may be downloaded" in capsys.readouterr().err
    assert main(["train", "--resume", str(tmp_path / "run"), "--teacher", "resnet18"]) == 2
    assert "has another --teacher" in capsys.readouterr().err


def test_the_same_logits_have_no_soft_loss():
    logits = torch.randn(4, 5)
    config = ClassificationConfig(teacher="t", distillation="soft", distillation_tau=3.0)
    assert float(distillation_loss(logits, logits, config)) == pytest.approx(0, abs=1e-6)
    assert float(distillation_loss(logits, logits.roll(1, 1), config)) > 0.1
