"""Shards for tests, written as WebDataset writes them, and from folders."""

import io
import json
import tarfile
from pathlib import Path


def write_tar(path, files, **options):
    """Write an archive of pairs of a name and bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def sample(key, image, label, ending="png"):
    """The files of a sample; a label that is a dictionary is written as JSON."""
    last = (f"{key}.json", json.dumps(label)) if isinstance(label, dict) else (f"{key}.cls", str(label))
    return [(f"{key}.{ending}", image), (last[0], last[1].encode())]


def from_folders(root, out, names, *, shards=2, part_of=lambda part, i: f"{part}-{i}.tar"):
    """Write the images of `root/PART/CLASS/*` into shards, in the order in which folders are read.

    Each shard has consecutive images. The label is the place of the class in `names`; with `None`, its name.
    """
    for part in ("train", "val"):
        files = sorted((root / part).glob("*/*"))
        size = -(-len(files) // shards)
        for i in range(shards):
            content = []
            for file in files[i * size : (i + 1) * size]:
                label = file.parent.name if names is None else names.index(file.parent.name)
                content += sample(f"{file.parent.name}_{file.stem}", file.read_bytes(), label, file.suffix[1:])
            write_tar(Path(out) / part_of(part, i), content)
    return Path(out)
