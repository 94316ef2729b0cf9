"""Errors of the Hugging Face Hub's library in plain words."""

from __future__ import annotations

from vig_pyg._io.text import error_text


def hub_reason(error: Exception) -> str:
    """Return why a model cannot be loaded from the Hub; the library's messages have addresses and request numbers."""
    from huggingface_hub import errors

    reasons: dict[type[Exception], str] = {  # the classes derive from each other, so the order matters
        errors.GatedRepoError: "its authors give access on request: request it on the page of the model, and log in",
        errors.RepositoryNotFoundError: "the hub has no such model, or it is private",
        errors.RevisionNotFoundError: "the model has no such revision",
        errors.LocalEntryNotFoundError: "the hub was not reached, and the model is not in its cache",
        errors.OfflineModeIsEnabled: "the hub's offline mode is on, and the model is not in its cache",
        errors.EntryNotFoundError: "the model lacks a file",
    }
    found = (reason for kind, reason in reasons.items() if isinstance(error, kind))
    return next(found, "") or error_text(error, limit=300)
