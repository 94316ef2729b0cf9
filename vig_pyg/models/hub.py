"""Models as folders (config.json + model.safetensors), here or on the Hugging Face hub. Needs the extra `hub`."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

import torch
from torch import nn

from vig_pyg._io.bounded_json import read_json
from vig_pyg._io.output import write_file
from vig_pyg._io.schema import read_as
from vig_pyg._io.text import error_text
from vig_pyg.checkpoints.load import load_state
from vig_pyg.checkpoints.metadata import file_metadata
from vig_pyg.checkpoints.read import read_state
from vig_pyg.config import ModelConfig
from vig_pyg.config_schema import check_names, check_size, check_weights_hold, model_options, read_preprocessing
from vig_pyg.preprocess import Preprocessing

if TYPE_CHECKING or find_spec("huggingface_hub") is not None:
    from huggingface_hub import ModelHubMixin
else:

    class ModelHubMixin:
        """What the methods are without huggingface_hub."""

        def __init_subclass__(cls, **_: object) -> None:
            super().__init_subclass__()

        def save_pretrained(self, *_: object, **__: object) -> NoReturn:
            _missing()

        def push_to_hub(self, *_: object, **__: object) -> NoReturn:
            _missing()

        @classmethod
        def from_pretrained(cls, *_: object, **__: object) -> NoReturn:
            _missing()


CONFIG = "config.json"
WEIGHTS = "model.safetensors"
#: Entries of config.json beside the fields of the configuration.
FAMILY, CLASS_NAMES, PREPROCESSING = "family", "class_names", "preprocessing"


class HubMixin(
    ModelHubMixin,
    library_name="vig_pyg",
    tags=["vision-gnn", "pytorch-geometric"],
    paper_url="https://arxiv.org/abs/2206.00272",
    pipeline_tag="image-classification",
):
    """`save_pretrained`, `from_pretrained` and `push_to_hub` of a model (huggingface_hub's mixin).

    The folder holds the whole configuration, so nothing but its name is needed to make the model again, and the names
    of the classes and the preprocessing where the model has them.
    """

    config_class: ClassVar[type[ModelConfig]]
    config: ModelConfig
    class_names: list[str] | None
    preprocessing: Preprocessing | None

    def __new__(cls, *_: Any, **__: Any) -> Self:
        # the mixin's own collects and copies the arguments; our configuration holds them already
        return object.__new__(cls)

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        model_card_kwargs: dict[str, Any] | None = None,
        **push_to_hub_kwargs: Any,
    ) -> str | None:
        """Save configuration and weights in a folder, as config.json and model.safetensors, with a model card.

        Args:
            save_directory: The folder; it is made if needed, and files of an earlier save are replaced.
            repo_id: Name on the hub; that of the folder by default.
            push_to_hub: Whether to send it to the Hugging Face hub too.
            model_card_kwargs: For the card's template.
            push_to_hub_kwargs: Options of `push_to_hub`.

        Raises:
            ImportError: If huggingface_hub is not installed.
            ValueError: If the configuration holds a callable, or the model is not what its configuration makes.
        """
        unknown = push_to_hub_kwargs.keys() - {"config"}  # `push_to_hub` calls this method with a configuration
        if unknown and not push_to_hub:
            raise TypeError(f"save_pretrained got {', '.join(sorted(unknown))}: options of the hub need push_to_hub.")
        if find_spec("huggingface_hub") is None:
            _missing()
        self._card()  # refuses before anything is written
        push_to_hub_kwargs.pop("config", None)
        return super().save_pretrained(
            save_directory,
            repo_id=repo_id,
            push_to_hub=push_to_hub,
            model_card_kwargs=model_card_kwargs,
            **push_to_hub_kwargs,
        )

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        **overrides: Any,
    ) -> Self:
        """The model of a folder of `save_pretrained`, or of a name on the Hugging Face hub, in evaluation mode.

        Called on `VisionGNN` it makes whichever family the folder holds.

        Args:
            pretrained_model_name_or_path: The folder, or the name on the hub.
            force_download: Whether to download again what is in the hub's cache.
            token: For private repositories.
            cache_dir: The hub's cache.
            local_files_only: Whether to look in the hub's cache only.
            revision: Branch, tag or commit.
            overrides: Fields of the configuration to change, such as `num_classes` or `position`.

        Raises:
            ImportError: If huggingface_hub is not installed.
            FileNotFoundError: If the folder lacks a file.
            ConnectionError: If the hub has no such model, or cannot be reached.
            ValueError: If the configuration is another family's, or the weights do not fit.
        """
        if find_spec("huggingface_hub") is None:
            _missing()
        options = {"force_download": force_download, "token": token, "cache_dir": cache_dir}
        options |= {"local_files_only": local_files_only, "revision": revision}
        paths = _files(str(pretrained_model_name_or_path), options)
        return cls._from_files(*paths, overrides)

    def _save_pretrained(self, save_directory: Path) -> None:
        """The mixin's hook: the two files."""
        from safetensors.torch import save

        assert isinstance(self, nn.Module)
        full = self.state_dict()
        state = {key: tensor.detach().cpu().contiguous() for key, tensor in full.items()}
        write_file(save_directory / WEIGHTS, save(state, metadata=file_metadata(full)), overwrite=True)
        write_file(save_directory / CONFIG, json.dumps(self._card(), indent=2) + "\n", overwrite=True)

    def _card(self) -> dict[str, Any]:
        """The content of config.json."""
        values = {field.name: getattr(self.config, field.name) for field in fields(self.config)}
        for name, value in values.items():
            if callable(value):
                raise ValueError(
                    f"{name}={value!r} is code, which {CONFIG} cannot hold: save the weights alone with "
                    "torch.save(model.state_dict(), path), and make the model with the same callable to load them."
                )
        assert isinstance(self, nn.Module)
        with torch.device("meta"):
            fresh = type(self)(self.config)
        if fresh.state_dict().keys() != self.state_dict().keys():
            raise ValueError(
                f"This {type(self).__name__} has other weights than its configuration makes (fused, or parts "
                "exchanged) and could not be loaded again: save the model as it was before."
            )
        extra = {CLASS_NAMES: self.class_names, PREPROCESSING: self.preprocessing and asdict(self.preprocessing)}
        return {FAMILY: type(self).__name__, **values, **{key: value for key, value in extra.items() if value}}

    @classmethod
    def _from_files(cls, config_path: Path, weights_path: Path, overrides: dict[str, Any]) -> Self:
        family, config, class_names, preprocessing = _read_config(cls, config_path)
        check_weights_hold(lambda: family(config), weights_path, str(config_path))
        model = family(config.override(overrides))
        model.class_names, model.preprocessing = class_names, preprocessing
        if model.config.num_classes != config.num_classes:
            model.class_names = None
        load_state(model, read_state(weights_path), where=str(weights_path), overridden=overrides)
        result: Self = model.eval()
        return result


def _missing() -> NoReturn:
    raise ImportError('Saving and loading folders needs huggingface_hub and safetensors: pip install "vig-pyg[hub]".')


def _family(cls: Any, name: str) -> Any:
    """The class of that name, this one or one below it."""
    known = {cls.__name__: cls}
    for child in cls.__subclasses__():
        known |= {child.__name__: child} | {grandchild.__name__: grandchild for grandchild in child.__subclasses__()}
    if name not in known:
        raise ValueError(f"The model is a {name}, not a {cls.__name__}: use {name}.from_pretrained(...).")
    return known[name]


def _read_config(cls: Any, path: Path) -> tuple[Any, ModelConfig, list[str] | None, Preprocessing | None]:
    """The family, its configuration, the names of the classes and the preprocessing, all checked; nothing is built."""
    where, what = str(path), "the configuration of a model"
    with read_as(what, where):
        card = read_json(path)
        if not isinstance(card.get(FAMILY), str):
            raise ValueError(f"it has no entry {FAMILY!r} that names one.")
    family = _family(cls, card.pop(FAMILY))
    names, made = card.pop(CLASS_NAMES, None), card.pop(PREPROCESSING, None)
    with read_as(what, where):
        config: ModelConfig = family.config_class(**model_options(family.config_class)(card, where))
        made = None if made is None else read_preprocessing(made, f"{where}: {PREPROCESSING}")
        check_size(config, config.image_size if made is None else made.image_size, where)
        names = None if names is None else check_names(names, f"{where}: {CLASS_NAMES}")
        if names is not None and len(names) != config.num_classes:
            raise ValueError(f"it has {len(names)} {CLASS_NAMES} for a model of {config.num_classes} classes.")
    return family, config, names, made


def _files(source: str, options: dict[str, Any]) -> tuple[Path, Path]:
    """The configuration and the weights, in a folder or downloaded from the hub."""
    folder = Path(source)
    if folder.is_dir():
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{folder} has no {name}: it is not a folder of save_pretrained.")
        return folder / CONFIG, folder / WEIGHTS
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError

    try:
        config, weights = (Path(hf_hub_download(source, name, **options)) for name in (CONFIG, WEIGHTS))
    except HFValidationError as error:
        raise FileNotFoundError(f"There is no folder {source}, and it cannot be a name on the hub.") from error
    except (OSError, EntryNotFoundError) as error:
        raise ConnectionError(
            f"Cannot get {source} from the Hugging Face hub ({error_text(error, limit=300)}). Check the name, or get "
            f"its {CONFIG} and {WEIGHTS} elsewhere, put them in a folder, and pass the folder: then it works offline."
        ) from error
    return config, weights
