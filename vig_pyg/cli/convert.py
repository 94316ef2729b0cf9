"""`vig-pyg convert`: conversion of weights to another format, and of model folders to the current format."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

from vig_pyg._io.numbers import counted
from vig_pyg._io.text import terminal_text
from vig_pyg.cli._options import in_shell, say_next
from vig_pyg.cli._parser import described

#: File extensions of torch's format.
TORCH = (".pth", ".pt", ".bin", ".pth.tar")
#: Largest model card that is copied, in bytes.
MOST_OF_A_CARD = 2**20


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    convert = commands.add_parser(
        "convert",
        **described(
            "convert weights to another format, or a model folder to the current format",
            {
                "vig-pyg convert runs/photos mine.pth --format official": "for the published code",
                "vig-pyg convert pvig_small pvig_small.safetensors": "published weights in the format of this library",
                "vig-pyg convert runs/old runs/new": "a model folder of an earlier version",
            },
            note="The position tables of published Pyramid ViG models (relative_pos) are omitted, because models "
            "compute them. Load the file into the published code with strict=False.",
        ),
    )
    convert.add_argument(
        "source",
        metavar="MODEL",
        help="weight file or URL in any of the formats, name of published weights, folder of a model, or name of a "
        "model on the Hugging Face hub",
    )
    convert.add_argument(
        "out",
        metavar="OUT",
        type=Path,
        help=f"file to write: .safetensors, or torch's format ({', '.join(TORCH)}); for a model folder, a new folder",
    )
    convert.add_argument(
        "--format",
        choices=["native", "official", "mmpretrain"],
        default="native",
        help="format to write (default: native)",
    )
    convert.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    convert.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the file and print a description of it."""
    import torch

    from vig_pyg._io.output import check_free, write_file
    from vig_pyg.artifact import CONFIG, WEIGHTS
    from vig_pyg.checkpoints.load import identify_variant
    from vig_pyg.checkpoints.metadata import kept_text, to_safetensors, with_text
    from vig_pyg.models.hub import find_folder, is_hub_name
    from vig_pyg.weights import convert, detect_format, fetch, unwrap_state_dict

    source = args.source
    if Path(source).is_dir() or is_hub_name(source):
        if not args.out.suffix:
            if args.format != "native":
                raise ValueError(f"A model folder is written in the native format: leave out --format {args.format}.")
            _convert_folder(source, args.out)
            return
        if is_hub_name(source) or (Path(source) / CONFIG).is_file():
            source = find_folder(source) / WEIGHTS
    check_free(args.out, overwrite=args.overwrite)
    _check_ending(args.out)
    state = unwrap_state_dict(fetch(source)[1])
    converted = convert(state, args.format)
    for key, tensor in converted.items():
        converted[key] = tensor.contiguous()
    if args.out.suffix.lower() == ".safetensors":
        # safetensors refuses tensors that share memory, such as tied weights
        content = to_safetensors(
            with_text({key: tensor.clone() for key, tensor in converted.items()}, kept_text(converted))
        )
    else:
        buffer = io.BytesIO()
        torch.save(converted, buffer)
        content = buffer.getvalue()
    write_file(args.out, content, overwrite=args.overwrite)
    what = f"{counted(len(converted), 'tensors')} of {identify_variant(state) or 'an unknown variant'}"
    dropped = len(state) - len(converted)
    tables = f", {dropped} position {'table' if dropped == 1 else 'tables'} omitted" if dropped else ""
    print(f"{terminal_text(args.out)}: {what}, from the {detect_format(state)} to the {args.format} format{tables}")
    if args.format == "native" and (variant := identify_variant(state)):
        say_next(in_shell("vig-pyg", "train", "--data", "FOLDER", "--model", variant, "--weights", args.out))
    elif args.format == "official":
        say_next("load the file into the published code: model.load_state_dict(weights, strict=False)")


def _convert_folder(source: str, out: Path) -> None:
    """Write a model folder of any version in the current format to a new folder."""
    from vig_pyg._io.output import check_new_folder, new_folder, write_file
    from vig_pyg.artifact import CARD, write_config, write_weights
    from vig_pyg.detection.load import ObjectDetector
    from vig_pyg.loading import load
    from vig_pyg.models.hub import find_folder

    check_new_folder(out)
    found = load(source)
    if isinstance(found, ObjectDetector):
        about: dict[str, Any] = {"category_ids": found.category_ids}
    else:
        about = {"preprocessing": found.preprocessing}
    card = find_folder(source) / CARD
    with new_folder(out):
        write_config(out, found.model, class_names=found.classes, **about)
        write_weights(out, found.model.state_dict())
        if card.is_file() and card.stat().st_size <= MOST_OF_A_CARD:
            write_file(out / CARD, card.read_bytes())
    print(f"{terminal_text(out)}: the model of {terminal_text(source)}, {counted(len(found.classes), 'classes')}")
    say_next(in_shell("vig-pyg", "graph", out, "IMAGE"))


def _check_ending(out: Path) -> None:
    """Raise an error for a file extension that does not match the format to be written."""
    if out.suffix and out.name.lower().endswith((".safetensors", *TORCH)):
        return
    what = f"ends in {out.suffix!r}" if out.suffix else "has no ending"
    hint = " An ONNX file needs a model, not only weights: use vig_pyg.export.to_onnx(model, path)."
    raise ValueError(
        f"{out} {what}, expected .safetensors, or {', '.join(TORCH)} for torch's format."
        + (hint if out.suffix.lower() == ".onnx" else "")
    )
