"""Loading of any trained model from a folder, published weights, or a name on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vig_pyg.artifact import CONFIG, DETECTION, read_config
from vig_pyg.classification.load import ImageClassifier, load_classifier
from vig_pyg.models.hub import find_folder, is_hub_name

if TYPE_CHECKING:
    from vig_pyg.detection.load import ObjectDetector


def load(source: str | Path, **options: Any) -> ImageClassifier | ObjectDetector:
    """Load a trained model, ready for images; nothing that trains needs to be installed.

    Args:
        source: A run folder or a folder of `save_pretrained`; a name of published weights (`"pvig_small"`,
            `"pvig_small:imagenet1k:mmpretrain"`); or a name on the Hugging Face hub (`"somebody/my-vig"`).
        options: For classifiers `weights`, `position`, `image_size` and `progress` (see `load_classifier`).

    Returns:
        A predictor with `model`, `classes` and `preprocessing`, to be called on images, arrays, tensors or paths.

    Raises:
        FileNotFoundError: If there is no such folder, file or model.
        ConnectionError: If something cannot be downloaded, with what to do.
        ValueError: If a file is out of its bounds, the weights do not fit, or an option makes no sense.
        TypeError: If an option is unknown, or is none of a detector's.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> from vig_pyg import vig_micro
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = vig_micro(num_classes=2).save_pretrained(folder)
        ...     classifier = load(folder)
        >>> sorted(classifier(Image.new("RGB", (40, 30))).names)
        ['0', '1']
    """
    name = str(source)
    if not (Path(name).is_dir() or is_hub_name(name)):
        return load_classifier(source, **options)
    folder = find_folder(name)
    if read_config(folder / CONFIG)["task"] != DETECTION:
        return load_classifier(source, **options)
    if options:
        raise TypeError(f"{source} is a detector, which has no option {', '.join(sorted(options))}.")
    from vig_pyg.detection.load import load_detector

    return load_detector(source)
