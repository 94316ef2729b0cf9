"""Saving and loading of models as folders, on disk or on the Hugging Face Hub (extra `hub`)."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

import torch
from torch import nn

from vig_pyg._io.suggest import did_you_mean
from vig_pyg._requirements import missing_message
from vig_pyg.artifact import CONFIG, WEIGHTS, describe_config, write_config, write_weights
from vig_pyg.config import ModelConfig
from vig_pyg.conv import CONVS
from vig_pyg.graph import GRAPHS, each_graph
from vig_pyg.models._hub_errors import hub_reason
from vig_pyg.models.local_folder import is_path, missing_folder, models_inside, unfinished
from vig_pyg.models.read_model import read_model
from vig_pyg.preprocess import Preprocessing

if TYPE_CHECKING or find_spec("huggingface_hub") is not None:
    from huggingface_hub import ModelHubMixin
else:

    class ModelHubMixin:
        """A replacement without huggingface_hub, whose methods raise `ImportError`."""

        def __init_subclass__(cls, **_: object) -> None:
            super().__init_subclass__()

        def save_pretrained(self, *_: object, **__: object) -> NoReturn:
            _missing()

        def push_to_hub(self, *_: object, **__: object) -> NoReturn:
            _missing()

        @classmethod
        def from_pretrained(cls, *_: object, **__: object) -> NoReturn:
            _missing()


#: The form of a name on the Hub.
_FORM = re.compile(r"[\w-][\w.-]*/[\w.-]+")
#: The model card of `save_pretrained`; the mixin fills in the fields in braces.
CARD_TEMPLATE = """---
{{ card_data }}
---

# Vision GNN

An image classifier of [Vision GNN](https://arxiv.org/abs/2206.00272): the image is a graph of patches.

```python
from vig_pyg import VisionGNN

model = VisionGNN.from_pretrained("{{ repo_id | default("FOLDER OR NAME", true) }}")
```

After `import vig_pyg.timm`, timm can create it too: `timm.create_model("local-dir:FOLDER", pretrained=True)`.

- Code: `vig_pyg` (license: MIT), after the [published code]({{ repo_url }}) (license: Apache-2.0)
- Paper: [Vision GNN: An Image is Worth Graph of Nodes]({{ paper_url }})
- Docs: the README of `vig_pyg`, and [PyTorch Geometric's documentation]({{ docs_url }})
"""


class HubMixin(
    ModelHubMixin,
    library_name="vig_pyg",
    license="mit",
    tags=["vision-gnn", "pytorch-geometric", "timm"],
    repo_url="https://github.com/huawei-noah/Efficient-AI-Backbones",
    paper_url="https://arxiv.org/abs/2206.00272",
    docs_url="https://pytorch-geometric.readthedocs.io",
    pipeline_tag="image-classification",
    model_card_template=CARD_TEMPLATE,
):
    """The methods `save_pretrained`, `from_pretrained` and `push_to_hub`, from the mixin of huggingface_hub.

    The folder contains the whole configuration, so the name of the folder is sufficient to create the model again. It
    also contains the class names and the preprocessing, if the model has them.
    """

    config_class: ClassVar[type[ModelConfig]]
    config: ModelConfig
    class_names: list[str] | None
    preprocessing: Preprocessing | None

    def __new__(cls, *_: Any, **__: Any) -> Self:
        # The mixin would copy the arguments, which our configuration contains already.
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
        """Save the configuration and the weights in a folder (`config.json`, `model.safetensors`, and a model card).

        Args:
            save_directory: The folder. It is created if necessary, and files of an earlier save are replaced.
            repo_id: Name on the Hub; by default the name of the folder.
            push_to_hub: If true, the folder is also uploaded to the Hugging Face Hub.
            model_card_kwargs: Arguments for the template of the model card.
            push_to_hub_kwargs: Options of `push_to_hub`.

        Raises:
            ImportError: If huggingface_hub or safetensors is not installed.
            NotADirectoryError: If `save_directory` is a file.
            ValueError: If the configuration contains a callable without a registered name, or if the model was changed,
                for example fused, so that its configuration does not describe it.
        """
        unknown = push_to_hub_kwargs.keys() - {"config"}  # `push_to_hub` passes `config` when it calls this method
        if unknown and not push_to_hub:
            raise TypeError(f"save_pretrained got {', '.join(sorted(unknown))}: these options need push_to_hub=True.")
        _check_packages()
        if Path(save_directory).is_file():
            raise NotADirectoryError(f"{save_directory} is a file: pass a folder.")
        self._check_can_be_loaded()  # raises before anything is written
        push_to_hub_kwargs.pop("config", None)
        return super().save_pretrained(
            save_directory,
            repo_id=repo_id,
            push_to_hub=push_to_hub,
            model_card_kwargs={**({} if repo_id is None else {"repo_id": repo_id}), **(model_card_kwargs or {})},
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
        map_location: str | torch.device = "cpu",
        strict: bool = True,
        **overrides: Any,
    ) -> Self:
        """Load a model from a folder of `save_pretrained` or from the Hugging Face Hub, in evaluation mode.

        `VisionGNN.from_pretrained` loads a model of any family. The parameters have the dtypes of the saved ones.

        Args:
            pretrained_model_name_or_path: The folder, or the name on the Hub.
            force_download: If true, files are downloaded even if they are in the cache of the Hub.
            token: Access token for private repositories.
            cache_dir: Cache folder of the Hub.
            local_files_only: If true, nothing is downloaded, and only the cache is used.
            revision: Branch, tag or commit.
            map_location: The device of the model.
            strict: If false, tensors that do not fit are not loaded, and a warning in the log names them.
            overrides: Fields of the configuration to change, such as `num_classes` or `position`. With another
                `num_classes`, the last layer is new and has random weights, and a warning is logged, as in
                transformers. With another `in_channels`, the first convolution is adapted (see
                `vig_pyg.weights.load_weights`).

        Raises:
            ImportError: If huggingface_hub or safetensors is not installed.
            FileNotFoundError: If a file is missing in the folder.
            ConnectionError: If the Hub has no such model or cannot be reached.
            ValueError: If the model belongs to another family, or the weights do not match the configuration.
        """
        _check_packages()
        options = {"force_download": force_download, "token": token, "cache_dir": cache_dir}
        options |= {"local_files_only": local_files_only, "revision": revision}
        folder = find_folder(str(pretrained_model_name_or_path), **options)
        made: Self = read_model(cls, folder, map_location=map_location, strict=strict, **overrides)
        return made

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write the two files; the mixin calls this method."""
        assert isinstance(self, nn.Module)
        write_weights(save_directory, self.state_dict())
        write_config(save_directory, self, class_names=self.class_names, preprocessing=self.preprocessing)

    def _check_can_be_loaded(self) -> None:
        """Raise `ValueError` if the model could not be loaded again after saving."""
        for name, registry in (("conv", CONVS), ("graph", GRAPHS)):
            for value in each_graph(getattr(self.config, name)):
                if callable(value) and registry.name_of(value) is None:
                    raise ValueError(
                        f"{name}={value!r} is code, which {CONFIG} cannot contain: save only the weights with "
                        "torch.save(model.state_dict(), path), and load them into a model with the same callable. Or "
                        f'register it with @vig_pyg.register_{name}("name"), before saving and again before loading.'
                    )
        describe_config(self.config)
        assert isinstance(self, nn.Module)
        with torch.device("meta"):
            fresh = type(self)(self.config)
        expected, found = ({key: part.shape for key, part in m.state_dict().items()} for m in (fresh, self))
        if expected != found:
            raise ValueError(
                f"The weights of this {type(self).__name__} do not match its configuration (it was fused, or parts "
                "were replaced), so it could not be loaded again: save the original model."
            )


def _check_packages() -> None:
    """Raise `ImportError` if a package is missing, before anything is written or downloaded."""
    if find_spec("huggingface_hub") is None or find_spec("safetensors") is None:
        _missing()


@contextmanager
def _quiet_retries() -> Iterator[None]:
    """Keep the Hub's library from printing a line for each retry; its last error is reported."""
    log = logging.getLogger("huggingface_hub.utils._http")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _missing() -> NoReturn:
    raise ImportError(missing_message("Saving and loading folders needs huggingface_hub and safetensors", "hub"))


def is_hub_name(name: str) -> bool:
    """True if a name has the form of a name on the Hub, and no local file has this name.

    Example:
        >>> is_hub_name("somebody/my-vig"), is_hub_name("./my-vig"), is_hub_name("pvig_small")
        (True, False, False)
    """
    return _FORM.fullmatch(name) is not None and not is_path(name) and not os.path.lexists(name)


def find_folder(source: str, **options: Any) -> Path:
    """Return the folder of a model; a model on the Hub is downloaded into the cache of the Hub.

    Args:
        source: A folder, or a name on the Hub.
        options: Options of `huggingface_hub.hf_hub_download`, such as `revision`.

    Raises:
        FileNotFoundError: If a file is missing in the folder, or the folder does not exist and `source` is not a valid
            name on the Hub.
        ConnectionError: If the Hub has no such model or cannot be reached.
        ImportError: If there is no such folder and huggingface_hub is not installed.
    """
    folder = Path(source)
    if folder.is_dir():
        if (folder / "last.ckpt").is_file() and not (folder / WEIGHTS).is_file():
            raise FileNotFoundError(unfinished(folder))
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise FileNotFoundError(
                    f"{folder} has no {name}: it is neither a run folder nor a folder of save_pretrained."
                    f"{models_inside(folder)}"
                )
        return folder
    if is_path(source):
        fits = _FORM.fullmatch(source)
        raise FileNotFoundError(missing_folder(source, "" if fits else ", and this is not a valid name on the hub"))
    if find_spec("huggingface_hub") is None:
        _missing()
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError

    try:
        with _quiet_retries():
            paths = [Path(hf_hub_download(source, name, **options)) for name in (CONFIG, WEIGHTS)]
    except HFValidationError as error:
        raise FileNotFoundError(f"There is no folder {source}, and this is not a valid name on the hub.") from error
    except (OSError, EntryNotFoundError) as error:
        raise ConnectionError(
            f"Cannot get {source} from the Hugging Face hub ({hub_reason(error)}), and there is no folder of "
            f"this name here.{did_you_mean(source)} Check the name, or get its {CONFIG} and {WEIGHTS} elsewhere, put "
            "them in a folder, and pass the folder: then it works offline."
        ) from error
    return paths[0].parent
