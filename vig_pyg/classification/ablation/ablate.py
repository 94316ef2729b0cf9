"""An ablation: train every variant with every seed, and write a table with intervals, tests and a figure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vig_pyg.classification.ablation.costs import measure_costs
from vig_pyg.classification.ablation.environment import as_facts, environment
from vig_pyg.classification.ablation.folder import AblationFolder
from vig_pyg.classification.ablation.report import summary, write_results
from vig_pyg.classification.ablation.training import Measure, train_all
from vig_pyg.classification.ablation.variant import Variant
from vig_pyg.classification.config import ClassificationConfig
from vig_pyg.classification.data import ImageData
from vig_pyg.engine.config_file import differing, to_values

#: Function of the variants, the model's name, its options, a batch, and known costs, to the costs of each variant.
Costs = Callable[[Sequence[Variant], str, dict[str, Any], Tensor, Mapping[str, Any]], dict[str, dict[str, Any]]]
#: Values that may differ between calls, because they do not change the numbers.
FREE = ("seed", "num_workers", "evaluate_every", "checkpoint_every", "tensorboard", "devices", "num_nodes")
#: What the folder of an ablation says that it is.
KIND = "vig-pyg ablate"


def costs_of(
    variants: Sequence[Variant],
    model: str,
    options: dict[str, Any],
    images: Tensor,
    known: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """Return the costs of the variants; known costs are kept as long as the variants are the same.

    Args:
        variants: The rows of the table, which are timed side by side.
        model: Name of the model.
        options: Its options.
        images: A batch of images.
        known: Costs that were measured before.

    Shapes: images `(B, C, H, W)`.

    Example:
        >>> costs_of([], "vig_micro", {}, torch.rand(1, 3, 32, 32), {})
        {}
    """
    if known.keys() == {variant.name for variant in variants}:
        return dict(known)
    return measure_costs({variant.name: variant.make(model, dict(options)) for variant in variants}, images)


def settings_of(config: ClassificationConfig) -> dict[str, Any]:
    """Return what must be the same for all runs of an ablation.

    Example:
        >>> "seed" in settings_of(ClassificationConfig())
        False
    """
    values = {key: value for key, value in to_values(config).items() if key not in FREE}
    if Path(config.data).exists():
        values["data"] = str(Path(config.data).resolve())
    return {"ablation": KIND, **values}


def ablate(
    variants: Sequence[Variant],
    data: ImageData,
    config: ClassificationConfig,
    out: str | Path,
    *,
    seeds: int = 3,
    only: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    shown: Mapping[str, Any] | None = None,
    title: str = "ablation",
    here: Mapping[str, Any] | None = None,
    costs: Costs = costs_of,
    measure: Measure | None = None,
    progress: bool = True,
) -> tuple[list[dict[str, Any]], list[Path]]:
    """Train every variant with every seed, compare them, and write a folder of results.

    Each finished run leaves one file. The same call with the same folder trains only what is missing, so more variants
    or seeds can be added; an interrupted run continues from its last checkpoint. All variants run once before the
    training starts, so that an operator that does not fit the images stops the ablation at once.

    Args:
        variants: All variants, the baseline first.
        data: The images.
        config: The configuration of the training; its seed is replaced.
        out: The folder of the ablation.
        seeds: Number of runs of each variant; all variants use the same seeds, so that they can be compared in pairs.
        only: Names of the variants to train now; by default all. Finished runs of others stay in the table.
        options: Options of the network; by default those of the configuration, and the classes, channels and size of
            the data.
        settings: What must be the same for all runs in the folder; by default the configuration.
        shown: Settings that are listed below the table; by default those that differ from the defaults.
        title: Title of the table.
        here: Facts about this process, such as versions, that are saved with each run.
        costs: Function that measures the costs of the variants.
        measure: Function that measures each trained network; its results become columns of the table.
        progress: If true, progress is shown.

    Returns:
        The rows of the table, and the written files: `results.json`, `results.md`, `results.csv` and `plot.png`.

    Raises:
        ValueError: If the folder belongs to another ablation, a name is unknown, or a variant does not fit the data.
        TrainingInterrupted: If a signal stopped a run.

    Example:
        >>> from vig_pyg.classification import DigitsData
        >>> from vig_pyg.classification.ablation import crossed
        >>> rows, files = ablate(  # doctest: +SKIP
        ...     crossed("vig_micro", {}, ["mr", "edge"], []), DigitsData(), ClassificationConfig(epochs=5), "runs/mine"
        ... )
    """
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {seeds}.")
    start = time.perf_counter()
    images = _some_images(data, config.batch_size)  # nothing is written if they cannot be read
    folder = AblationFolder(out, settings if settings is not None else settings_of(config))
    here = here if here is not None else environment(["vig_pyg.classification.ablation.ablate"])
    options = dict(options) if options is not None else network_options(config, data)
    chosen = [variant for variant in variants if only is None or variant.name in only]
    missing = [(v, seed) for seed in range(seeds) for v in chosen if not folder.run_file(v, seed).exists()]
    finished = folder.runs(variants)
    rows = [variant for variant in variants if variant in chosen or variant.name in finished]
    measured = costs(rows, config.model, options, images, folder.costs())
    folder.save_costs(measured)
    train_all(folder, missing, data, config, options, environment=here, measure=measure, progress=progress)
    runs = folder.runs(variants)
    table = summary(rows, runs, measured)
    facts = as_facts(
        shown if shown is not None else differing(config),
        here,
        {row["variant"]: runs[row["variant"]] for row in table},
        time.perf_counter() - start,
    )
    return table, write_results(folder.path, table, runs, folder.settings, facts=facts, title=title)


def _some_images(data: ImageData, count: int) -> Tensor:
    """Return a batch of validation images; an error names all images that cannot be read."""
    try:
        return torch.stack([data.val_set[i][0] for i in range(min(count, len(data.val_set)))])
    except (ValueError, OSError) as error:
        raise ValueError(data.with_all_faults(str(error))) from error


def network_options(config: ClassificationConfig, data: ImageData) -> dict[str, Any]:
    """Return all options of the networks: those of the configuration, and those that the data define.

    Example:
        >>> from vig_pyg.classification import DigitsData
        >>> network_options(ClassificationConfig(), DigitsData(image_size=16))["num_classes"]
        10
    """
    return {
        **config.options,
        "drop_path_rate": config.drop_path_rate,
        "num_classes": len(data.class_names),
        "in_channels": data.preprocessing.in_channels,
        "image_size": data.preprocessing.image_size,
    }
