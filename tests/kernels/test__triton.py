import builtins
import logging

from vig_pyg.kernels import _triton


def test_a_missing_triton_is_told_once(monkeypatch, caplog):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("vig_pyg.kernels") and "triton" in str(args):
            raise ImportError("No module named 'triton'")
        return real(name, *args, **kwargs)

    _triton.triton_kernels.cache_clear()
    monkeypatch.setattr(builtins, "__import__", refuse)
    with caplog.at_level(logging.WARNING):
        assert _triton.triton_kernels() is None
        assert _triton.triton_kernels() is None
    monkeypatch.undo()
    _triton.triton_kernels.cache_clear()
    assert caplog.text.count("need Triton (No module named 'triton')") == 1


def test_the_kernels_are_there():
    assert {"search", "gather"} == set(_triton.triton_kernels()._fields)
