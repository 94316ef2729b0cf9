"""The folder of an ablation: its settings, one file for each finished run, and the costs of the variants."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vig_pyg._io.bounded_json import read_json
from vig_pyg._io.output import write_file
from vig_pyg._io.text import json_text
from vig_pyg.classification.ablation.variant import Variant
from vig_pyg.engine.config_file import renamed

#: The file with the settings, by which a folder is recognized.
SETTINGS = "ablation.json"
#: The file with the costs of the variants.
COSTS = "costs.json"
#: A finished run: `variant`, `seed`, `code`, `top1` in percent, losses, seconds and environment.
Run = dict[str, Any]


class AblationFolder:
    """The folder of an ablation, which a later call of the same ablation continues.

    Args:
        settings: Everything that must be the same for all runs in the folder.

    Raises:
        ValueError: If the folder is not that of an ablation, or has other settings; the message names them.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as root:
        ...     AblationFolder(Path(root) / "a", {"epochs": 1}).runs([])
        {}
    """

    def __init__(self, path: str | Path, settings: Mapping[str, Any]) -> None:
        self.path, self.settings = Path(path), dict(settings)
        about = self.path / SETTINGS
        settings = json.loads(json.dumps(settings))  # tuples become lists, as in the file
        if not about.is_file():
            if os.path.lexists(self.path) and (not self.path.is_dir() or any(self.path.iterdir())):
                raise ValueError(
                    f"{self.path} exists and is not the folder of an ablation: choose another folder (--out)."
                )
            self._write(about, settings)  # written first, so that an interrupted start can be repeated
        (self.path / "runs").mkdir(exist_ok=True)
        found = read_json(about)
        found = renamed(found) if isinstance(found, dict) else found
        if found != settings and not any((self.path / "runs").iterdir()):  # it stopped before the first run
            (self.path / COSTS).unlink(missing_ok=True)
            self._write(about, settings)
        elif found != settings:
            keys = [key for key in {**found, **settings} if found.get(key) != settings.get(key)]
            differ = "; ".join(f"{key}: {found.get(key)} there, {settings.get(key)} now" for key in keys)
            raise ValueError(
                f"{self.path} holds runs with other settings ({differ}): choose another folder (--out), or remove it."
            )

    def run_file(self, variant: Variant, seed: int) -> Path:
        """Return the file of a finished run."""
        return self.path / "runs" / f"{variant.file_name}.seed{seed}.json"

    def started(self, variant: Variant, seed: int) -> Path:
        """Return the folder of an unfinished run; another version of its code has another folder."""
        return self.path / "runs" / f"{variant.file_name}.seed{seed}{variant.code and '.' + variant.code[:8]}"

    def save(self, variant: Variant, seed: int, result: Mapping[str, Any]) -> None:
        """Write a finished run."""
        self._write(
            self.run_file(variant, seed), {"variant": variant.name, "seed": seed, "code": variant.code, **result}
        )

    def runs(self, variants: Sequence[Variant]) -> dict[str, list[Run]]:
        """Return the finished runs of each variant that has any, ordered by seed.

        Raises:
            ValueError: If a file is damaged, or a run used another version of the user's code.
        """
        found: dict[str, list[Run]] = {}
        known = {variant.name: variant for variant in variants}
        for path in sorted((self.path / "runs").glob("*.json")):
            run = read_json(path)
            if not {"variant", "seed", "top1"} <= run.keys():
                raise ValueError(f"{path} is not a finished run of an ablation: remove it to train it again.")
            variant = known.get(run["variant"])
            if variant is None:
                continue
            if run.get("code", "") != variant.code:
                raise ValueError(
                    f"{path} was trained with another version of the code of {variant.name}: choose another folder "
                    "(--out), or remove the runs of this variant."
                )
            found.setdefault(variant.name, []).append(run)
        for runs in found.values():
            runs.sort(key=lambda run: run["seed"])
        return found

    def costs(self) -> dict[str, dict[str, Any]]:
        """Return the measured costs of each variant; empty before the first measurement."""
        path = self.path / COSTS
        return read_json(path) if path.is_file() else {}

    def save_costs(self, costs: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the costs."""
        self._write(self.path / COSTS, costs)

    def _write(self, path: Path, content: Mapping[str, Any]) -> None:
        write_file(path, json_text(content) + "\n", overwrite=True)
