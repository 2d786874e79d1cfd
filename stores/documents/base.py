"""What every document has: a key, a schema version, a content digest, provenance.

The room of the rules that hold for all documents and of nothing else. A document goes to a
store with :meth:`Document.to_store` and comes back with :meth:`Document.load`, which checks the
digest of its content, lifts older schema versions step by step, and refuses newer ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, ValidationError

from screening.digest import digest_of
from screening.errors import CorruptDataError, SchemaTooNewError, SerializationError
from screening.plain_records import Digest, PlainJson, Record, StorableKey, first_problem

__all__ = [
    "Digest",
    "Document",
    "Migration",
    "PlainJson",
    "Provenance",
    "Record",
    "StorableKey",
    "UtcTime",
    "content_digest_of",
    "first_problem",
    "installed_versions",
    "utc_now",
]

Migration = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns the plain document of one schema version into that of the next."""

_PACKAGES = (
    "phonoscreen",
    "numpy",
    "phono3py",
    "phonopy",
    "pydantic",
    "pymatgen",
    "scikit-learn",
    "spglib",
    "symfc",
)
_UNDIGESTED = frozenset({"_id", "last_updated", "content_digest"})


def utc_now() -> datetime:
    """Now, in UTC, with the precision of milliseconds that every database keeps."""
    return _milliseconds(datetime.now(UTC))


def _milliseconds(moment: datetime) -> datetime:
    """UTC with milliseconds; a time without a zone is UTC, as databases return it."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.replace(microsecond=aware.microsecond // 1000 * 1000)


UtcTime = Annotated[datetime, AfterValidator(_milliseconds)]
"""A moment in UTC with milliseconds."""


@cache
def installed_versions() -> dict[str, str]:
    """Versions of the packages that can change a number, without those not installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def content_digest_of(stored: Mapping[str, Any]) -> str:
    """SHA-256 of a stored document's content: all but its time and the digest itself.

    Raises
    ------
    SerializationError
        If a value is not JSON or not finite.
    """
    return digest_of({key: item for key, item in stored.items() if key not in _UNDIGESTED})


class Provenance(Record):
    """Where a document comes from, said once."""

    package_versions: dict[StorableKey, str] = Field(
        description="Versions of the packages that can change a number, by package name."
    )
    method: str | None = Field(
        description="Name of the method or builder; none where nothing was computed."
    )
    method_version: int | None = Field(
        ge=1,
        description="Version of the method, raised whenever its numbers change; none without one.",
    )
    model: str | None = Field(description="Name of the model; none where no model was used.")
    model_digest: str | None = Field(
        description="SHA-256 of the model's weights; none where no model was used."
    )
    settings_digest: str | None = Field(
        description="SHA-256 of all settings that change the numbers; none where there are none."
    )
    source_ids: tuple[str, ...] = Field(
        description="Keys of the documents this one was made from, sorted."
    )

    @classmethod
    def now(
        cls,
        *,
        method: str | None = None,
        method_version: int | None = None,
        model: str | None = None,
        model_digest: str | None = None,
        settings_digest: str | None = None,
        source_ids: tuple[str, ...] = (),
    ) -> Self:
        """Provenance with the versions installed here."""
        return cls(
            package_versions=installed_versions(),
            method=method,
            method_version=method_version,
            model=model,
            model_digest=model_digest,
            settings_digest=settings_digest,
            source_ids=tuple(sorted(set(source_ids))),
        )


class Document(Record):
    """Base of all documents.

    Attributes
    ----------
    KEY
        The field that is unique in the collection, stored as ``_id`` too.
    INDEXED_FIELDS
        Fields that users filter and sort by.
    SCHEMA_VERSION
        Version that this release writes.
    MIGRATIONS
        For every older version, the function that lifts a plain document to the next one.
    """

    KEY: ClassVar[str] = ""
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = ()
    SCHEMA_VERSION: ClassVar[int] = 1
    MIGRATIONS: ClassVar[Mapping[int, Migration]] = {}

    schema_version: int = Field(ge=1, description="Version of this document's schema.")
    last_updated: UtcTime | None = Field(
        default=None,
        description="When the document was built, in UTC with milliseconds; none where a foreign "
        "tool lost it. Nothing but the order of equals may depend on it.",
    )
    provenance: Provenance = Field(description="Where the document comes from.")

    @property
    def key(self) -> str:
        """The value of the key field."""
        return str(getattr(self, self.KEY))

    @property
    def content_digest(self) -> str:
        """SHA-256 of everything but the time: equal for documents that say the same."""
        return content_digest_of(self.model_dump(mode="json"))

    @classmethod
    def build(cls, **fields: Any) -> Self:
        """Validate fields computed here, with this release's schema version and the time.

        Raises
        ------
        SerializationError
            Naming the first field that breaks the schema, for instance a non-finite number.
        """
        head = {"schema_version": cls.SCHEMA_VERSION, "last_updated": utc_now()}
        try:
            return cls.model_validate(head | fields)
        except ValidationError as error:
            raise SerializationError(
                first_problem(error),
                subject=f"{cls.__name__} {fields.get(cls.KEY, '')}".strip(),
                hint="The value was not stored",
            ) from error

    def replaced(self, **changes: Any) -> Self:
        """Return a validated copy with other values and a new time.

        Raises
        ------
        SerializationError
            Naming the first field that breaks the schema.
        """
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return self.build(**fields | {"last_updated": utc_now()} | changes)

    def to_store(self) -> dict[str, Any]:
        """Plain dictionary for a store: JSON types, the time, ``_id`` and a content digest.

        Raises
        ------
        SerializationError
            If a value cannot be stored.
        """
        plain = self.model_dump(mode="json")
        return plain | {
            "_id": self.key,
            "last_updated": self.last_updated,
            "content_digest": content_digest_of(plain),
        }

    @classmethod
    def load(cls, stored: Mapping[str, Any]) -> Self:
        """Validate a document from a store, lifting older schema versions.

        Raises
        ------
        SchemaTooNewError
            If a newer release wrote it.
        CorruptDataError
            If its content does not match its digest or breaks its schema; names the field.
        """
        subject = f"{cls.__name__} {stored.get('_id', stored.get(cls.KEY, ''))}".strip()
        _check_digest(stored, subject)
        plain = {k: v for k, v in stored.items() if k not in {"_id", "content_digest"}}
        try:
            document = cls.model_validate(cls._lifted(plain, subject))
        except ValidationError as error:
            raise _corrupt(first_problem(error), subject) from error
        if "_id" in stored and stored["_id"] != document.key:
            raise _corrupt(f"_id is {stored['_id']!r} but {cls.KEY} is {document.key!r}", subject)
        return document

    @classmethod
    def _lifted(cls, plain: dict[str, Any], subject: str) -> dict[str, Any]:
        """Apply migrations until the document has this release's version."""
        number = plain.get("schema_version")
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise _corrupt(f"schema_version is {number!r}", subject)
        if number > cls.SCHEMA_VERSION:
            raise SchemaTooNewError(
                f"schema version {number} is newer than {cls.SCHEMA_VERSION}, the newest known",
                subject=subject,
                hint="Update phonoscreen",
            )
        for step in range(number, cls.SCHEMA_VERSION):
            plain = cls.MIGRATIONS[step](dict(plain)) | {"schema_version": step + 1}
        return plain


def _check_digest(stored: Mapping[str, Any], subject: str) -> None:
    """Compare the content with the digest stored beside it."""
    expected = stored.get("content_digest")
    if expected is None:
        raise _corrupt("content_digest is missing", subject)
    try:
        found = content_digest_of(stored)
    except SerializationError as error:
        raise _corrupt(error.message, subject) from error
    if found != expected:
        raise _corrupt("the content does not match content_digest", subject)


def _corrupt(message: str, subject: str) -> CorruptDataError:
    return CorruptDataError(message, subject=subject, hint="Compute or import it again")
