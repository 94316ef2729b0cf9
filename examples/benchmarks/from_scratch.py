"""A network from random weights on a folder of images: how good after how long, on this machine.

    uv run python examples/benchmarks/from_scratch.py --data imagenette128 --epochs 45

This is `vig-pyg train --data imagenette128 --cache 128 --num-workers 1 --epochs 45`, with the preset `scratch`, and a
result file. If it is stopped, the same command with `--resume` goes on; the time is then that of all parts.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from harness import RESULTS, write

from vig_pyg import load
from vig_pyg.classification import load_config, load_data, make_model, to_yaml
from vig_pyg.classification.ablation.training import Clock
from vig_pyg.cli.train import make_parser
from vig_pyg.engine import fit
from vig_pyg.engine.metrics import MetricsHistory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with train/ and val/")
    parser.add_argument("--out", type=Path, default=Path("runs/from_scratch"))
    parser.add_argument("--epochs", type=int, default=45)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    args, others = parser.parse_known_args()  # others are flags of `vig-pyg train`
    values = {"data": args.data, "epochs": args.epochs, "seed": args.seed, "cache": 128, "num_workers": 1}
    case = load_config("scratch", ("this script", values), ("the command line", make_parser().parse_flags(others)))
    data, clock = load_data(case), Clock(lambda _: None)
    model = make_model(case.model, case.options, data, seed=case.seed)
    kept = fit(model, data, case, args.out, resume=args.resume, callbacks=[clock])
    history = MetricsHistory("val_accuracy")
    checkpoint = torch.load(args.out / "last.ckpt", weights_only=True)
    history.load_state_dict(next(v for k, v in checkpoint["callbacks"].items() if k.startswith("MetricsHistory")))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    row = {
        "data": data.title,
        "images": len(data.train_set),
        "held out": len(data.val_set),
        "model": case.model,
        "parameters, M": sum(p.numel() for p in load(args.out).model.parameters()) / 1e6,
        "pixels": case.image_size,
        "epochs": case.epochs,
        "minutes": clock.seconds() / 60,
        "top-1, %": 100 * kept["val_accuracy"],
    }
    write(f"from_scratch_{device}", [row], seed=case.seed, settings=to_yaml(case).splitlines(), epochs=history.rows)
    shutil.copy(args.out / "curves.png", RESULTS / f"from_scratch_{device}.png")


if __name__ == "__main__":
    main()
