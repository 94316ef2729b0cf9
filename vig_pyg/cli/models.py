"""`vig-pyg models`: the list of models with measured sizes."""

from __future__ import annotations

import argparse

from vig_pyg.cli._options import in_shell, say_next
from vig_pyg.cli._parser import described
from vig_pyg.cli._tables import table


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    models = commands.add_parser(
        "models",
        **described(
            "list the models with their measured numbers of parameters and MACs",
            {"vig-pyg models": "names for --model and for predict"},
        ),
    )
    models.set_defaults(run=run)


def run(_: argparse.Namespace) -> None:
    """Print the table."""
    import torch

    from vig_pyg._io.progress import progress_bar
    from vig_pyg.builders import create_model, list_models
    from vig_pyg.macs import count_macs

    rows = []
    with progress_bar(len(list_models()), unit="models") as bar:
        for name in list_models():
            with torch.device("meta"):  # sizes need no weights
                model = create_model(name)
            side = model.config.image_size
            parameters = sum(p.numel() for p in model.parameters()) / 1e6
            macs = count_macs(model, (side, side)) / 1e9
            rows.append((name, f"{parameters:.3f}", f"{macs:.3f}", f"{side} x {side}"))
            bar.update(1)
    print(table(["model", "parameters, M", "GMACs", "at"], rows))
    say_next(in_shell("vig-pyg", "train", "--data", "FOLDER", "--model", "pvig_tiny", "--weights", "pvig_tiny"))
