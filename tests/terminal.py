"""A standard error that keeps what is written."""

import io


class Stderr(io.StringIO):
    """Standard error of a terminal, or of a pipe."""

    def __init__(self, *, terminal=True, encoding="utf-8"):
        super().__init__()
        self._terminal, self._encoding = terminal, encoding

    def isatty(self):
        return self._terminal

    @property
    def encoding(self):
        return self._encoding
