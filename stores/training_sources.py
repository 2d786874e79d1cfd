"""Whose numbers a training set is made of: what a source is called, and by what a user means it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Sourced", "counts_of_sources", "is_source", "listed_counts", "source_of"]

_DIGITS = 12  # of a model's digest, where a name alone does not tell models apart
_MOST_LISTED = 6


def source_of(model: str, model_digest: str) -> str:
    """Name a source: the model, with the start of its digest where it has one."""
    return f"{model}@{model_digest[:_DIGITS]}" if model_digest else model


def is_source(text: str, model: str, model_digest: str) -> bool:
    """Whether a text, with or without the start of a digest, may name this source.

    Examples
    --------
    >>> is_source("chgnet:0.3.0", "chgnet:0.3.0", "c0ffee"), is_source("a@c0f", "a", "c0ffee")
    (True, True)
    """
    name, _, digits = text.rpartition("@")
    return model == text or (model == name and model_digest.startswith(digits))


@dataclass(frozen=True, kw_only=True)
class Sourced:
    """A document by one source.

    Attributes
    ----------
    model
        Name of the calculator or model.
    model_digest
        Its digest, empty where it has none of its own.
    """

    model: str
    model_digest: str

    @property
    def named(self) -> str:
        """The model with the start of its digest, where it has one of its own."""
        return source_of(self.model, self.model_digest)

    def is_called(self, text: str) -> bool:
        """Whether a user may mean this model."""
        return is_source(text, self.model, self.model_digest)


def counts_of_sources(found: Sequence[Sourced]) -> Counter[str]:
    """Count documents by source, named shortly where names tell the sources apart."""
    digests: dict[str, set[str]] = {}
    for one in found:
        digests.setdefault(one.model, set()).add(one.model_digest)
    return Counter(one.named if len(digests[one.model]) > 1 else one.model for one in found)


def listed_counts(counts: Mapping[str, int]) -> str:
    """Say in words how many there are of each, the most first.

    Examples
    --------
    >>> listed_counts({"chgnet": 3, "phonoscreen": 12})
    'phonoscreen (12), chgnet (3)'
    """
    most = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    listed = ", ".join(f"{name} ({count})" for name, count in most[:_MOST_LISTED])
    more = len(most) - _MOST_LISTED
    return f"{listed} and {more} others" if more > 0 else listed
