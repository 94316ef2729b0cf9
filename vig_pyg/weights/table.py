"""The table of published weights: URLs, hashes, preprocessing, and accuracy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from vig_pyg.checkpoints.formats import Format
from vig_pyg.preprocess import Preprocessing
from vig_pyg.weights._family_files import FILES, PAGES

IMAGENET = "imagenet1k"
#: The tag of the averaged weights in the files of the later families, with which detectors and segmentation networks
#: start.
AVERAGED = f"{IMAGENET}:ema"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_OFFICIAL = "https://github.com/huawei-noah/Efficient-AI-Backbones/releases/download"
_OFFICIAL_CODE = "https://github.com/huawei-noah/Efficient-AI-Backbones"
_MMPRETRAIN_CODE = "https://github.com/open-mmlab/mmpretrain"
_MMPRETRAIN = "https://download.openmmlab.com/mmclassification/v0/vig"


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A file of published weights and its metadata.

    Args:
        model: Name of the model for `create_model`.
        tag: `"imagenet1k"` for the official file, `"imagenet1k:mmpretrain"` for its conversion by mmpretrain, or
            `"imagenet1k:ema"` for the averaged weights in the file of a later family.
        format: Format of the keys: `"native"`, `"official"` or `"mmpretrain"`.
        url: Download URL.
        sha256: The first hexadecimal digits of the SHA-256 of the file, as published; empty if none was published.
        preprocessing: The preprocessing with which the model was evaluated; a callable from an image to a tensor.
        top1: Published top-1 accuracy on ImageNet-1k in percent, for ViG from the model table of mmpretrain; `None` if
            it is not known.
        top5: Published top-5 accuracy, likewise.
        params: Number of trainable parameters in millions, without the constant position tables.
        gmacs: Multiply-accumulates for one image of 224 x 224 pixels, in billions.
        license: License of the repository that publishes the file.
        part: Name of the state dict in the file, if it has several; if empty, the first of `WRAPPERS` is used.
        megabytes: Size of the file in millions of bytes, as published and rounded; 0 if unknown.
        code: Repository of the published code.

    Example:
        >>> get_weights("pvig_small").preprocessing.resize_size
        248
    """

    model: str
    tag: str
    format: Format
    url: str
    sha256: str
    preprocessing: Preprocessing
    top1: float | None
    top5: float | None
    params: float
    gmacs: float
    license: str = "Apache-2.0"
    part: str = ""
    megabytes: float = 0
    code: str = _OFFICIAL_CODE

    @property
    def name(self) -> str:
        """The name for `get_weights`: model and tag, separated by a colon."""
        return f"{self.model}:{self.tag}"

    @property
    def file_name(self) -> str:
        """The file name in the cache."""
        return self.url.rsplit("/", 1)[1]

    def transforms(self) -> Preprocessing:
        """Return the preprocessing with which the model was evaluated, as torchvision's weights do."""
        return self.preprocessing

    @property
    def meta(self) -> dict[str, Any]:
        """The metadata under the names of torchvision: categories, number of parameters, metrics, and source."""
        scores = {"acc@1": self.top1, "acc@5": self.top5}
        return {
            "categories": self.categories,
            "num_params": round(1e6 * self.params),
            "metrics": {"ImageNet-1K": {name: score for name, score in scores.items() if score is not None}},
            "gmacs": self.gmacs,
            "source": _MMPRETRAIN_CODE if self.format == "mmpretrain" else self.code,
            "license": self.license,
        }

    @property
    def categories(self) -> list[str]:
        """The names of the 1000 classes of ImageNet-1k, in the order of the logits."""
        return list(imagenet_categories())


@cache
def imagenet_categories() -> tuple[str, ...]:
    """Return the names of the 1000 classes of ImageNet-1k in their usual order, from torchvision's metadata."""
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


# model: (official file, its hash, hash of mmpretrain's file, top-1 %, top-5 %, parameters in M, GMACs, crop_pct)
_ROWS: dict[str, tuple[str, str, str, float, float, float, float, float]] = {
    "vig_tiny": ("vig/vig_ti_74.5.pth", "61872146", "6414c684", 74.40, 92.34, 7.185, 1.301, 0.9),
    "vig_small": ("vig/vig_s_80.6.pth", "081bb44c", "5338bf3b", 80.61, 95.28, 22.748, 4.517, 0.9),
    "vig_base": ("vig/vig_b_82.6.pth", "40b0685d", "92f6f12f", 82.64, 96.04, 86.842, 17.643, 0.9),
    "pvig_tiny": ("pyramid-vig/pvig_ti_78.5.pth.tar", "06c49bda", "eb77347d", 78.38, 94.38, 10.714, 1.700, 0.9),
    "pvig_small": ("pyramid-vig/pvig_s_82.1.pth.tar", "03455330", "9433dc96", 82.00, 95.97, 27.252, 4.548, 0.9),
    "pvig_medium": ("pyramid-vig/pvig_m_83.1.pth.tar", "5a5ce0c0", "21057a6d", 83.12, 96.35, 49.526, 8.845, 0.9),
    "pvig_base": ("pyramid-vig/pvig_b_83.66.pth.tar", "aafa414a", "dbab3c85", 83.59, 96.52, 92.980, 16.804, 0.95),
}


def _entries() -> Iterator[Weights]:
    for model, (file, official, converted, top1, top5, params, gmacs, crop_pct) in _ROWS.items():
        preprocessing = Preprocessing(image_size=224, crop_pct=crop_pct)
        mm_file = f"{model.replace('_', '-')}_3rdparty_in1k_20230117-{converted}.pth"
        sources: list[tuple[str, Format, str, str]] = [
            (IMAGENET, "official", f"{_OFFICIAL}/{file}", official),
            (f"{IMAGENET}:mmpretrain", "mmpretrain", f"{_MMPRETRAIN}/{mm_file}", converted),
        ]
        for tag, format, url, sha256 in sources:
            yield Weights(
                model=model,
                tag=tag,
                format=format,
                url=url,
                sha256=sha256,
                preprocessing=preprocessing,
                top1=top1,
                top5=top5,
                params=params,
                gmacs=gmacs,
            )


def _family_entries() -> Iterator[Weights]:
    for model, file in FILES.items():
        for tag, part in ((IMAGENET, "state_dict"), (AVERAGED, "state_dict_ema")):
            yield Weights(
                model=model,
                tag=tag,
                format="official",
                url=file.url,
                sha256=file.sha256,
                preprocessing=Preprocessing(image_size=224, crop_pct=0.9, mean=_MEAN, std=_STD),
                top1=file.top1 if tag == IMAGENET else None,
                top5=None,
                params=file.params,
                gmacs=file.gmacs,
                part=part,
                megabytes=file.megabytes,
                code=file.code,
            )


#: All published weights, by name.
TABLE: dict[str, Weights] = {entry.name: entry for entry in (*_entries(), *_family_entries())}


class ModelWeights(NamedTuple):
    """All published weights of one model, with the interface of torchvision's weight enums.

    Args:
        IMAGENET1K: The official file.
        IMAGENET1K_MMPRETRAIN: The conversion of this file by mmpretrain.

    Example:
        >>> PViG_S_Weights.DEFAULT.meta["num_params"]
        27252000
    """

    IMAGENET1K: Weights
    IMAGENET1K_MMPRETRAIN: Weights

    @property
    def DEFAULT(self) -> Weights:  # noqa: N802  (torchvision's name)
        """The default weights: the official file."""
        return self.IMAGENET1K


def _of_model(model: str) -> ModelWeights:
    return ModelWeights(*(entry for entry in TABLE.values() if entry.model == model))


ViG_Ti_Weights = _of_model("vig_tiny")
ViG_S_Weights = _of_model("vig_small")
ViG_B_Weights = _of_model("vig_base")
PViG_Ti_Weights = _of_model("pvig_tiny")
PViG_S_Weights = _of_model("pvig_small")
PViG_M_Weights = _of_model("pvig_medium")
PViG_B_Weights = _of_model("pvig_base")

#: The tags that follow the model name in the name of the weights.
TAGS = (IMAGENET, f"{IMAGENET}:mmpretrain")


def list_weights() -> list[str]:
    """List the names that `get_weights` accepts.

    Example:
        >>> list_weights()[:2]
        ['vig_tiny:imagenet1k', 'vig_tiny:imagenet1k:mmpretrain']
    """
    return list(TABLE)


def get_weights(name: str) -> Weights:
    """Look up published weights by name; nothing is downloaded.

    Args:
        name: The name of a model, which selects its official file, or a model and a tag such as
            `"pvig_small:imagenet1k:mmpretrain"`.

    Raises:
        ValueError: If no weights have this name.

    Example:
        >>> get_weights("vig_tiny").top1
        74.4
    """
    entry = TABLE.get(name) or TABLE.get(f"{name}:{IMAGENET}")
    if entry is None:
        if (page := PAGES.get(name.partition("_")[0])) and not name.startswith(tuple(FILES)):
            raise ValueError(
                f"The file with the weights {name!r} is not known to this library, so it is not downloaded: the "
                f"authors' page is {page}. Download a file there, and load it by its path with "
                f"vig_pyg.weights.load_weights(model, path). Files of {', '.join(FILES)} are known."
            )
        raise ValueError(
            f"There are no published weights {name!r}: choose {IMAGENET} or {IMAGENET}:mmpretrain of "
            f"{', '.join(_ROWS)}, or {IMAGENET} or {AVERAGED} of {', '.join(FILES)}, such as 'pvig_small:{IMAGENET}'."
        )
    return entry


def as_markdown() -> str:
    """Return the table of published weights in Markdown, as in `examples/guides/weights.md`.

    Example:
        >>> as_markdown().splitlines()[0][:28]
        '| model | parameters, M | GM'
    """
    head = "| model | parameters, M | GMACs | top-1 | top-5 | resize, crop | official file | mmpretrain's |"
    lines = [head, "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for model in _ROWS:
        one, two = get_weights(model), get_weights(f"{model}:{IMAGENET}:mmpretrain")
        size = f"{one.preprocessing.resize_size}, {one.preprocessing.image_size}"
        lines.append(
            f"| `{model}` | {one.params:.1f} | {one.gmacs:.2f} | {one.top1:.2f} | {one.top5:.2f} | {size} "
            f"| [{one.sha256}]({one.url}) | [{two.sha256}]({two.url}) |"
        )
    return "\n".join(lines)
