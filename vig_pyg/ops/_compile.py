"""How the CPU kernels are compiled and the source archive is made; `pyproject.toml` names these classes.

The kernels are plain C that Python loads through ctypes. If they cannot be compiled, the package is installed without
them, and it uses plain torch. Nothing in the library imports this file, because it needs setuptools.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist
from setuptools.errors import CompileError

#: The kernels are not linked to an OpenMP library: they use the symbols of the library that torch has loaded. On Linux
#: this is that of GCC, whose symbols differ from those of Clang; elsewhere there may be none, or linking may need one.
OPENMP = "-fopenmp"
CANNOT_SHARE_OPENMP = "#ifdef __clang__\n#error\n#endif\n"


class BuildKernels(build_ext):
    """Passes the compiler only flags that it supports, and on Windows prefers GCC, because MSVC has no vector types."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.compiler is None and sys.platform == "win32" and shutil.which("gcc"):
            self.compiler = "mingw32"

    def build_extension(self, ext: Any) -> None:
        """Compile the kernels with the supported flags."""
        ext.extra_compile_args = [flag for flag in ext.extra_compile_args if self.supports(flag)]
        if self.compiler.compiler_type == "mingw32":
            ext.extra_link_args = [*ext.extra_link_args, "-static-libgcc"]
        super().build_extension(ext)

    def get_export_symbols(self, ext: Any) -> list[str]:
        """Return the functions of the kernels; the default would export a function that creates a Python module."""
        return re.findall(r"^(?:int|void) (vig_\w+)\(", Path(ext.sources[0]).read_text(encoding="utf-8"), re.MULTILINE)

    def supports(self, flag: str) -> bool:
        """True if the compiler accepts a flag; OpenMP is used only where torch has loaded its library."""
        if flag == OPENMP and sys.platform != "linux":
            return False
        code = CANNOT_SHARE_OPENMP if flag == OPENMP else ""
        with tempfile.TemporaryDirectory() as folder:
            probe = Path(folder) / "probe.c"
            probe.write_text(code + "int probe(void) { return 0; }\n", encoding="utf-8")
            try:
                self.compiler.compile([str(probe)], output_dir=folder, extra_postargs=[flag])
            except CompileError:
                return False
        return True


class SourceArchive(sdist):
    """Holds tests, scripts, guides, notebooks and the pages of the site too, which setuptools leaves out.

    Measured results and recorded outputs of the published code are large and not needed to install.
    """

    FILES = (
        *("tests/**/*.py", "tests/**/*.json"),
        *(f"examples/**/*.{ending}" for ending in ("py", "md", "rst", "css", "ipynb")),
        "examples/images/*",
    )
    #: What the use of a checkout leaves behind.
    LEFT = re.compile(r"(^|/)runs/|/\.ipynb_checkpoints/|\.py[cod]$|\.so$|/__pycache__/")

    def make_distribution(self) -> None:
        """Add the files to those that setuptools has found, and leave out what the use of a checkout leaves behind."""
        found = {path.as_posix() for pattern in self.FILES for path in Path().glob(pattern) if path.is_file()}
        self.filelist.extend(sorted(found - set(self.filelist.files)))
        self.filelist.exclude_pattern(self.LEFT, is_regex=True)
        super().make_distribution()
