"""Training and evaluation with timm's parts, in the order of its `train.py` and `validate.py`.

Those scripts are not in timm's archive on the registry, so the calls that they make are written down here.
"""

from pathlib import Path

import timm
import torch
from timm.data import Mixup, create_dataset, create_loader, resolve_data_config
from timm.layers import convert_sync_batchnorm
from timm.loss import BinaryCrossEntropy, SoftTargetCrossEntropy
from timm.models import load_checkpoint, resume_checkpoint
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import CheckpointSaver, ModelEmaV3, accuracy, freeze, get_state_dict

import vig_pyg.timm  # noqa: F401

#: Options of `train.py`, by the names of its flags.
OPTIONS = {
    "plain": {"model": "pvig_micro", "sync_bn": True},
    "fine-tuning": {
        "model": "pvig_micro",
        "opt": {"opt": "adamw", "lr": 1e-3, "weight_decay": 0.05, "layer_decay": 0.7},
        "create": {"drop_rate": 0.1, "drop_path_rate": 0.1},
        "grad_checkpointing": True,
        "head_init_scale": 0.5,
        "head_init_bias": -1.0,
        "mixup": 0.2,
        "model_ema": True,
    },
    "mixed precision": {
        "model": "vig_micro",
        "create": {"img_size": 48, "global_pool": "max"},
        "channels_last": True,
        "amp": torch.bfloat16,
        "bce": True,
    },
    "frozen, gray": {"model": "vig_micro", "create": {"in_chans": 1}, "freeze": True},
}


def make_model(options, num_classes=2):
    model = timm.create_model(options["model"], num_classes=num_classes, **options.get("create", {}))
    with torch.no_grad():
        model.get_classifier().weight.mul_(options.get("head_init_scale", 1))
        torch.nn.init.constant_(model.get_classifier().bias, options.get("head_init_bias", 0))
    if options.get("grad_checkpointing"):
        model.set_grad_checkpointing(enable=True)
    if options.get("sync_bn"):
        model = convert_sync_batchnorm(model)
    if options.get("freeze"):
        freeze(model, ["stem", "pos_embed", "blocks.0"])
    return model.to(memory_format=torch.channels_last) if options.get("channels_last") else model


def loader(root, split, model, options, training):
    config = resolve_data_config({"in_chans": options.get("create", {}).get("in_chans")}, model=model)
    size = options.get("create", {}).get("img_size")
    shape = (model.in_chans, size, size) if size else (model.in_chans, *config["input_size"][1:])
    dataset = create_dataset(
        "",
        root=str(root),
        split=split,
        is_training=training,
        batch_size=8,
        input_img_mode="L" if shape[0] == 1 else "RGB",
    )
    return create_loader(
        dataset,
        input_size=shape,
        batch_size=8,
        is_training=training,
        use_prefetcher=False,
        num_workers=0,
        persistent_workers=False,
        interpolation=config["interpolation"],
        mean=config["mean"][: shape[0]],
        std=config["std"][: shape[0]],
    )


def evaluate(model, data):
    """Top-1 accuracy in percent."""
    model.eval()
    with torch.inference_mode():
        found = [(accuracy(model(images), labels)[0], len(labels)) for images, labels in data]
    return sum(float(share) * count for share, count in found) / sum(count for _, count in found)


def train(root, out, options, *, epochs=5):
    """Train, save a checkpoint each epoch, and return the model and its accuracy."""
    torch.manual_seed(0)
    model = make_model(options)
    optimizer = create_optimizer_v2(model, **options.get("opt", {"opt": "sgd", "lr": 0.02, "momentum": 0.9}))
    scheduler, _ = create_scheduler_v2(optimizer, num_epochs=epochs)
    ema = ModelEmaV3(model, decay=0.5) if options.get("model_ema") else None
    mixup = Mixup(mixup_alpha=options["mixup"], num_classes=2) if "mixup" in options else None
    loss_of = (
        SoftTargetCrossEntropy()
        if mixup
        else BinaryCrossEntropy()
        if options.get("bce")
        else torch.nn.CrossEntropyLoss()
    )
    Path(out).mkdir()
    saver = CheckpointSaver(model, optimizer, model_ema=ema, checkpoint_dir=str(out), recovery_dir=str(out))
    data, held_out = (loader(root, split, model, options, split == "train") for split in ("train", "validation"))
    for epoch in range(epochs):
        model.train()
        for images, labels in data:
            if options.get("channels_last"):
                images = images.contiguous(memory_format=torch.channels_last)
            images, labels = mixup(images, labels) if mixup else (images, labels)
            with torch.autocast("cpu", options.get("amp") or torch.bfloat16, enabled="amp" in options):
                loss = loss_of(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if ema is not None:
                ema.update(model)
        score = evaluate(model, held_out)
        scheduler.step(epoch + 1, score)
        saver.save_checkpoint(epoch, metric=score)
    assert get_state_dict(model).keys() == model.state_dict().keys()
    return model, score


def validate(root, checkpoint, options):
    """Make the model again, load a checkpoint, and return the accuracy, as `validate.py` does."""
    model = make_model(options)
    load_checkpoint(model, str(checkpoint), use_ema=False)
    return evaluate(model, loader(root, "validation", model, options, False))


def resume(checkpoint, options):
    """Load a checkpoint with the state of the optimizer; return the model and the next epoch."""
    model = make_model(options)
    optimizer = create_optimizer_v2(model, **options.get("opt", {"opt": "sgd", "lr": 0.02, "momentum": 0.9}))
    return model, resume_checkpoint(model, str(checkpoint), optimizer=optimizer, log_info=False)
