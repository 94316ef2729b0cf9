"""Loading of any trained model: from a folder, by the name of published weights, or from the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vig_pyg.artifact import CLASSIFICATION, CONFIG, DETECTION, read_config
from vig_pyg.classification.load import ImageClassifier, load_classifier
from vig_pyg.models.hub import find_folder, is_hub_name

if TYPE_CHECKING:
    from vig_pyg.detection.load import ObjectDetector
    from vig_pyg.segmentation.load import SemanticSegmenter

#: Options of `load_classifier`.
CLASSIFIER_OPTIONS = ("weights", "position", "image_size", "progress")


def load(source: str | Path, **options: Any) -> ImageClassifier | ObjectDetector | SemanticSegmenter:
    """Load a trained model that can be called on images; the packages for training are not needed.

    Args:
        source: A run folder, a folder of `save_pretrained`, a name of published weights (`"pvig_small"` or
            `"pvig_small:imagenet1k:mmpretrain"`), or a name on the Hugging Face hub (`"somebody/my-vig"`).
        options: Options of `load_classifier`, for classifiers only: `weights`, `position`, `image_size` and `progress`.

    Returns:
        A predictor with `model`, `classes` and `preprocessing`, which can be called on images, arrays, tensors or
        paths.

    Raises:
        FileNotFoundError: If there is no such folder, file or model.
        ConnectionError: If a file cannot be downloaded; the message explains what to do.
        ValueError: If a value in a file is out of range, the weights do not fit, or options contradict each other.
        TypeError: If an option is unknown, or the model does not have it.

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
    if unknown := sorted(options.keys() - CLASSIFIER_OPTIONS):
        own = [f"@vig_pyg.register_{one}" for one in unknown if one in ("conv", "graph")]
        hint = f" Register code of your own before you load the model, with {' and '.join(own)}." if own else ""
        raise TypeError(
            f"vig_pyg.load has no option {', '.join(unknown)}; its options, for classifiers only, are "
            f"{', '.join(CLASSIFIER_OPTIONS)}.{hint}"
        )
    if not (Path(name).is_dir() or is_hub_name(name)):
        return load_classifier(source, **options)
    folder = find_folder(name)
    task = read_config(folder / CONFIG)["task"]
    if task == CLASSIFICATION:
        return load_classifier(source, **options)
    if options:
        what = "a detector" if task == DETECTION else "a segmentation network"
        raise TypeError(f"{source} is {what}, which has no option {', '.join(sorted(options))}.")
    if task == DETECTION:
        from vig_pyg.detection.load import load_detector

        return load_detector(source)
    from vig_pyg.segmentation.load import load_segmenter

    return load_segmenter(source)
