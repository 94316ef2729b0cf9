"""A model with all that pictures need, from whatever a user names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vig_pyg._io.bounded_json import read_json
from vig_pyg.builders import create_model, list_models
from vig_pyg.checkpoints.formats import State
from vig_pyg.checkpoints.load import identify_variant
from vig_pyg.config import PyramidViGConfig, variant_name
from vig_pyg.models import VisionGNN
from vig_pyg.preprocess import Preprocessing
from vig_pyg.weights import TABLE, convert, fetch, get_weights, load_weights, unwrap_state_dict
from vig_pyg.weights.table import IMAGENET, imagenet_categories


@dataclass(frozen=True, kw_only=True)
class ImageClassifier:
    """A model for pictures.

    Args:
        name: What the user named.
        model: In evaluation mode.
        class_names: One for each logit.
        preprocessing: From a picture to the model's input.
    """

    name: str
    model: VisionGNN[Any]
    class_names: list[str]
    preprocessing: Preprocessing


def load_classifier(
    source: str | Path,
    *,
    weights: str | Path | None = None,
    position: str | None = None,
    image_size: int | None = None,
    progress: bool = True,
) -> ImageClassifier:
    """A model for pictures.

    Args:
        source: A run folder of `vig-pyg train`, a folder of `save_pretrained`, or a name: that of a model
            (`"pvig_small"`, with the official weights), or of weights (`"pvig_small:imagenet1k:mmpretrain"`).
        weights: A file or URL with the weights of a model that is given by its name, instead of the published ones.
        position: Another position mode of a pyramid, `"official"` or `"grid"`.
        image_size: Another side of the crop in pixels; the short side before it grows alike.
        progress: Whether a download shows a bar.

    Raises:
        FileNotFoundError: If there is no such folder, file or model.
        ConnectionError: If weights cannot be downloaded, with what to do.
        ValueError: If the weights do not fit, or an option makes no sense.
        TypeError: If the model has no position mode.
    """
    folder = Path(source)
    if folder.is_dir():
        if weights is not None:
            raise ValueError(f"{folder} has its own weights; another file goes with the name of a model.")
        found = _from_folder(folder)
    else:
        found = _from_name(str(source), weights, progress, position)
    if position is not None:
        found = replace(found, model=_with_position(found.model, position))
    if image_size is not None:
        found = replace(found, preprocessing=replace(found.preprocessing, image_size=image_size))
    return found


def _from_folder(folder: Path) -> ImageClassifier:
    config = folder / "config.json"
    if config.is_file() and "family" in read_json(config):
        model: VisionGNN[Any] = VisionGNN.from_pretrained(folder)
        if model.config.num_classes == 0:
            raise ValueError(f"The model in {folder} has no classifier: it cannot tell classes.")
        names = model.class_names or _names(model)
        preprocessing = model.preprocessing or _usual(variant_name(model.config) or "", model)
        return ImageClassifier(name=str(folder), model=model, class_names=names, preprocessing=preprocessing)
    from vig_pyg.classification.run_folder import load_run  # needs an extra that published weights do without

    run = load_run(folder)
    return ImageClassifier(
        name=str(folder), model=run.model, class_names=run.class_names, preprocessing=run.preprocessing
    )


def _from_name(name: str, weights: str | Path | None, progress: bool, position: str | None) -> ImageClassifier:
    model_name = name.split(":")[0]
    if model_name not in list_models():
        if Path(name).is_file():
            raise ValueError(f"{name} is a file: name the model that it belongs to, and give the file as its weights.")
        raise FileNotFoundError(
            f"There is no folder {name} and no model of that name: name a run folder, a folder of save_pretrained, or "
            f"one of {', '.join(list_models())}."
        )
    if weights is None:
        entry = get_weights(name)
        model = create_model(model_name, weights=entry)
        assert model.class_names is not None and model.preprocessing is not None
        preprocessing, names = model.preprocessing, model.class_names
    else:
        if model_name != name:
            raise ValueError(f"{name} names published weights, and {weights} is given too: name {model_name} alone.")
        state = convert(unwrap_state_dict(fetch(weights, progress=progress)[1]), "native")
        if "head.fc2.bias" not in state:
            raise ValueError(f"{weights} has no classifier{_hint(state)}: it cannot tell classes.")
        model = create_model(model_name, num_classes=len(state["head.fc2.bias"]))
        model = model if position is None else _with_position(model, position)
        load_weights(model, state, overridden=() if position is None else ["position"])
        names = _names(model)
        preprocessing = _usual(model_name, model)
    return ImageClassifier(name=name, model=model.eval(), class_names=names, preprocessing=preprocessing)


def _hint(state: State) -> str:
    variant = identify_variant(state)
    return f" (it looks like {variant})" if variant else ""


def _names(model: VisionGNN[Any]) -> list[str]:
    """Names of classes that came without: ImageNet's where there are as many, else numbers."""
    count = model.config.num_classes
    return list(imagenet_categories()) if count == 1000 else [str(i) for i in range(count)]


def _usual(name: str, model: VisionGNN[Any]) -> Preprocessing:
    """The published preprocessing of a model; one without a margin where there is none."""
    size, channels = model.config.image_size, model.config.in_channels
    crop_pct = TABLE[f"{name}:{IMAGENET}"].preprocessing.crop_pct if f"{name}:{IMAGENET}" in TABLE else 1.0
    return Preprocessing(image_size=size, in_channels=channels, crop_pct=crop_pct)


def _with_position(model: VisionGNN[Any], position: str) -> VisionGNN[Any]:
    """The same weights in a model of another position mode."""
    family: Any = type(model)
    if not isinstance(model.config, PyramidViGConfig):
        raise TypeError(f"position={position!r} is an option of pyramids: a {family.__name__}'s search knows none.")
    other: VisionGNN[Any] = family(model.config.override({"position": position}))
    other.load_state_dict(model.state_dict())
    return other.eval()
