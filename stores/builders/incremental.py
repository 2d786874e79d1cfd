"""Build only what changed: compare digests of inputs, never clocks.

A builder plans from light projections (keys and content digests), rebuilds the documents whose
inputs differ from those they were built from, and removes documents that nothing supports any
more. Two builders at once write the same documents under the same keys; an older one that
writes late is found by the next build, because its input digest is the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from screening.digest import digest_of
from screening.errors import NotFoundError, ScreeningError
from stores.documents.base import Document
from stores.documents.failure import FailureDocument, failure_id_of
from stores.query import Criteria, by_field, in_values

if TYPE_CHECKING:
    from stores.connect import DocumentStore  # brings the databases along

__all__ = [
    "BuildReport",
    "Builder",
    "by_key",
    "chunks",
    "input_digest_of",
    "run_build",
]

_CHUNK = 200  # documents in memory at once; also keeps lists of keys short

_T = TypeVar("_T")


@dataclass(frozen=True)
class BuildReport:
    """What a build did.

    Attributes
    ----------
    written, removed
        Keys of documents written, and of those removed because nothing supports them any more.
    n_unchanged
        Number of documents whose inputs had not changed.
    failures
        What could not be built, also written to the failures.
    """

    written: tuple[str, ...]
    removed: tuple[str, ...]
    n_unchanged: int
    failures: tuple[FailureDocument, ...]


@dataclass(frozen=True)
class Builder:
    """One builder: where it writes and how it computes.

    Attributes
    ----------
    stage
        Name of the stage in failures.
    key
        Key field of the target.
    compute
        From keys to documents, or to the error for a key that cannot be built.
    covers
        Whether a key is within what this build was asked for: its failures are cleared where
        it did not fail, even where nothing supports it any more.
    """

    stage: str
    key: str
    compute: Callable[[Sequence[str]], Mapping[str, Document | ScreeningError]]
    covers: Callable[[str], bool]


def run_build(
    builder: Builder,
    *,
    planned: Mapping[str, str],
    built: Mapping[str, str | None],
    target: DocumentStore,
    failures: DocumentStore,
) -> BuildReport:
    """Rebuild what changed, remove what is no longer supported, record what failed.

    Parameters
    ----------
    builder
        What to run.
    planned
        Digest of the inputs of every document that should exist.
    built
        Digest of the inputs that every existing document was built from.
    target, failures
        Where documents and failures go.
    """
    stale = sorted(key for key, digest in planned.items() if built.get(key) != digest)
    removed = sorted(set(built) - set(planned))
    written: list[str] = []
    failed: list[FailureDocument] = []
    for keys in chunks(stale):
        results = builder.compute(keys)
        documents = {k: v for k, v in results.items() if isinstance(v, Document)}
        errors = {k: v for k, v in results.items() if isinstance(v, ScreeningError)}
        if documents:
            target.update([document.to_store() for document in documents.values()], builder.key)
            written += documents
        failed += _record_failures(failures, builder, errors)
        # The last good answer stays when an input is broken, and goes when an input is gone.
        gone = {key for key, error in errors.items() if isinstance(error, NotFoundError)}
        removed += sorted(gone & set(built))
    for keys in chunks(removed):
        target.remove_docs(in_values(builder.key, keys))
    _clear_failures(failures, builder, failed)
    return BuildReport(
        written=tuple(sorted(written)),
        removed=tuple(sorted(removed)),
        n_unchanged=len(planned) - len(stale),
        failures=tuple(failed),
    )


def _record_failures(
    store: DocumentStore, builder: Builder, errors: Mapping[str, ScreeningError]
) -> list[FailureDocument]:
    """Write failures, leaving alone those that already say the same."""
    fresh = {
        failure_id_of(key, builder.stage): FailureDocument.from_error(
            error,
            stage=builder.stage,
            subject=key,
            material_id=key if builder.key == "material_id" else None,
        )
        for key, error in errors.items()
    }
    if not fresh:
        return []
    known = by_key(store, "failure_id", ["code", "message"], in_values("failure_id", list(fresh)))
    news = []
    for name, failure in fresh.items():
        stored = known.get(name, {})
        if (stored.get("code"), stored.get("message")) != (failure.code, failure.message):
            news.append(failure.to_store())
    if news:
        store.update(news, "failure_id")
    return list(fresh.values())


def _clear_failures(
    store: DocumentStore, builder: Builder, failed: Sequence[FailureDocument]
) -> None:
    """Remove this stage's failures of everything that the build covers and that did not fail."""
    still = {failure.failure_id for failure in failed}
    known = by_key(store, "failure_id", ["subject"], by_field("stage", builder.stage))
    over = {name for name, one in known.items() if builder.covers(str(one.get("subject")))} - still
    for some in chunks(sorted(over)):
        store.remove_docs(in_values("failure_id", some))


def by_key(
    store: DocumentStore, key: str, fields: Sequence[str], criteria: Criteria | None = None
) -> dict[str, dict[str, Any]]:
    """Light projection of a collection: the named fields by key."""
    found = store.query(criteria or {}, properties=[key, *fields])
    return {str(document[key]): document for document in found if key in document}


def input_digest_of(builder_version: int, schema_version: int, **inputs: Any) -> str:
    """Digest of everything a document is built from."""
    return digest_of({"builder": builder_version, "schema": schema_version} | inputs)


def chunks(values: Iterable[_T]) -> Iterator[list[_T]]:
    """Split into lists short enough for one query."""
    items = list(values)
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
