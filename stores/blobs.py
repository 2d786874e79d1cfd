"""Large arrays apart from the documents, each under the SHA-256 of its content.

What is put twice is kept once, and what comes back is what was put, bit for bit, or an error.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from screening.errors import CorruptDataError, NotFoundError
from screening.packed_arrays import canonical, content_digest, pack, raw_size, unpack
from stores.blob_backends import BlobBackend

__all__ = ["BlobReference", "BlobStore"]

SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True)
class BlobReference:
    """What a document keeps of its arrays.

    Attributes
    ----------
    sha256
        Digest of the content and key of the blob.
    n_bytes
        Size as stored.
    n_raw_bytes
        Size of the arrays in memory.
    """

    sha256: str
    n_bytes: int
    n_raw_bytes: int


class BlobStore:
    """Arrays by the SHA-256 of their content.

    Parameters
    ----------
    backend
        Where the bytes are kept; see `stores.blob_backends.blob_backend`.
    """

    def __init__(self, backend: BlobBackend) -> None:
        self._backend = backend

    def put(self, arrays: Mapping[str, NDArray[Any]]) -> BlobReference:
        """Store named arrays; what is there already is not stored again.

        Parameters
        ----------
        arrays
            Booleans, integers, real or complex numbers, all finite.

        Raises
        ------
        SerializationError
            If an array cannot be stored.
        """
        plain = canonical(arrays)
        sha256, now = content_digest(plain), time.time()
        # a blob that waits for its document must not look old
        size = self._backend.touch(sha256, now)
        if size is not None and not self._is_sound(sha256):
            self._backend.delete([sha256], now)
            size = None
        if size is None:
            packed = pack(plain)
            size, step = len(packed), self._backend.chunk_bytes
            chunks = [packed[start : start + step] for start in range(0, size, step)]
            self._backend.put(sha256, chunks, now)
        return BlobReference(sha256, size, raw_size(plain))

    def _is_sound(self, sha256: str) -> bool:
        try:
            self.get(sha256)
        except (CorruptDataError, NotFoundError):
            return False
        return True

    def get(self, sha256: str) -> dict[str, NDArray[Any]]:
        """Return the arrays of a blob, read-only.

        Raises
        ------
        NotFoundError
            If there is no such blob.
        CorruptDataError
            If the stored bytes are not what was put.
        """
        chunks = self._backend.get(sha256)
        if chunks is None:
            raise NotFoundError("there is no such blob", subject=sha256, hint="Compute it again")
        arrays = unpack(b"".join(chunks), sha256)
        if content_digest(arrays) != sha256:
            raise CorruptDataError(
                "the content does not match the digest", subject=sha256, hint="Compute it again"
            )
        return arrays

    def __contains__(self, sha256: object) -> bool:
        return isinstance(sha256, str) and sha256 in self._backend.times([sha256])

    def digests(self) -> set[str]:
        """Return the digests of all blobs."""
        return set(self._backend.times())

    def orphans(self, referenced: Iterable[str], *, min_age_s: float = SECONDS_PER_DAY) -> set[str]:
        """Return the digests that no document refers to.

        Parameters
        ----------
        referenced
            Digests in the documents.
        min_age_s
            Younger blobs do not count: their document may still be on its way.
        """
        oldest = time.time() - min_age_s
        known = set(referenced)
        return {x for x, put in self._backend.times().items() if x not in known and put <= oldest}

    def missing(self, referenced: Iterable[str]) -> set[str]:
        """Return the digests that documents refer to but no blob has."""
        return set(referenced) - self.digests()

    def delete_orphans(
        self, referenced: Iterable[str], *, min_age_s: float = SECONDS_PER_DAY
    ) -> int:
        """Remove the blobs that `orphans` finds and return their number.

        A blob that is put again meanwhile is kept.
        """
        oldest = time.time() - min_age_s
        n_removed = self._backend.delete(self.orphans(referenced, min_age_s=min_age_s), oldest)
        self._backend.sweep(oldest)
        return n_removed

    def close(self) -> None:
        """Close the database connection."""
        self._backend.close()
