"""Which calibration a method is judged by, and making, exporting and importing them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from screening.errors import ParseError, ScreeningError
from screening.predictors.interface import Predictor
from screening.quantities import Property, Quantity
from screening.uncertainty.assessment import QuantityAssessment, assess_calibration
from screening.uncertainty.calibration import Calibration, default_quantities
from screening.uncertainty.conformal import check_risk
from screening.uncertainty.families import closeness, method_family
from screening.uncertainty.fitting import Pair
from screening.uncertainty.shipped import shipped_calibrations
from stores.builders.calibrations import (
    build_calibrations,
    calibration_pairs,
    read_calibrations,
    store_calibration,
)
from stores.connect import Database
from stores.documents import ModelDocument
from stores.documents.model import ModelKind
from stores.exporters import atomic_path
from stores.query import by_field

__all__ = [
    "AssessedCalibration",
    "KnownCalibration",
    "assessed_by_default",
    "assessed_calibrations",
    "best_calibration",
    "calibration_note",
    "export_calibrations",
    "family_of",
    "find_calibration",
    "import_calibration",
    "known_calibrations",
    "lines_of",
    "texts_of_calibrations",
]

_MAX_BYTES = 100_000_000
_ID_DIGITS = 12
_SAME, _SAME_CODE = 3, 2


@dataclass(frozen=True)
class AssessedCalibration:
    """A calibration with the pairs behind it and its held-out scores.

    Attributes
    ----------
    calibration
        Of one cheap family against one reference family.
    n_pairs
        Crystals that both methods predicted.
    assessments
        One for each quantity asked for.
    """

    calibration: Calibration
    n_pairs: int
    assessments: tuple[QuantityAssessment, ...]


@dataclass(frozen=True)
class KnownCalibration:
    """A calibration that decisions can rest on.

    Attributes
    ----------
    calibration
        Of one cheap family against one reference family.
    origin
        ``own`` (from pairs in the database), ``imported`` or ``shipped``.
    """

    calibration: Calibration
    origin: str

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of all elements of the calibrated compositions, sorted."""
        from pymatgen.core import Composition

        names = self.calibration.correction.compositions
        return tuple(sorted({str(one) for name in names for one in Composition(name).elements}))


def family_of(predictor: Predictor) -> str:
    """Return the family of a predictor's method."""
    return method_family(
        method=predictor.method,
        method_version=predictor.method_version,
        model=predictor.model,
        model_digest=predictor.model_digest,
        settings=predictor.settings,
    )


def find_calibration(
    database: Database,
    cheap: Predictor,
    reference: Predictor | None,
    alpha: float,
    quantities: Sequence[Quantity] = (),
) -> Calibration | None:
    """Choose the calibration that a method is judged by, see `best_calibration`."""
    wanted = family_of(reference) if reference is not None else None
    return best_calibration(database, family_of(cheap), wanted, alpha, quantities)


def best_calibration(
    database: Database,
    cheap_family: str,
    reference_family: str | None,
    alpha: float,
    quantities: Sequence[Quantity] = (),
) -> Calibration | None:
    """Choose the calibration that a family of methods is judged by.

    All of this database, whatever their age, and those that are shipped compete. One that
    answers for more of the quantities at this risk wins, then one against the very reference
    asked for, then against the same code, then the one with most compositions, then the newest.
    One against another functional never counts.

    Parameters
    ----------
    database
        An open database.
    cheap_family, reference_family
        The method to judge, and the one that decides what is true; None for any.
    alpha
        Risk that intervals will be asked for.
    quantities
        What will be asked for; by default the free energy at 300 K.

    Returns
    -------
    Calibration or None
        None where nobody has calibrated this method.
    """
    asked = tuple(quantities) or (Quantity(Property.FREE_ENERGY, 300.0),)
    shipped = [one for one in shipped_calibrations() if one.cheap_family == cheap_family]
    known = (*shipped, *read_calibrations(database, cheap_family))

    def near(one: Calibration) -> int:
        return _SAME if not reference_family else closeness(one.reference_family, reference_family)

    def merit(item: tuple[int, Calibration]) -> tuple[int, int, int, int]:
        place, one = item
        return one.n_answered(asked, alpha), near(one), one.n_compositions, place

    usable = [item for item in enumerate(known) if near(item[1])]
    best = max(usable, key=merit, default=None)
    return None if best is None else best[1]


def calibration_note(calibration: Calibration, reference: Predictor | None) -> str:
    """Say where a calibration's reference is not quite the one that decides; else nothing.

    Parameters
    ----------
    calibration
        Where intervals come from.
    reference
        The better method of a ladder; None where it has none.
    """
    head = f"intervals are calibrated against {calibration.reference_family}"
    if reference is None:
        return f"{head}; no better method was asked"
    wanted = family_of(reference)
    near = closeness(calibration.reference_family, wanted)
    if near == _SAME:
        return ""
    if near != _SAME_CODE:
        other = "from another source"
    else:  # a reference of many runs has no digest of its settings
        other = (
            "other settings" if "@" in calibration.reference_family else "perhaps other settings"
        )
    return f"{head}: the functional of the better method {wanted}, but {other}"


def assessed_calibrations(
    database: Database, quantities: Sequence[Quantity], alpha: float
) -> tuple[AssessedCalibration, ...]:
    """Bring all calibrations of a database up to date, and look at them.

    Parameters
    ----------
    database
        An open database.
    quantities
        What to assess; they are calibrated beside the usual ones.
    alpha
        Risk of the intervals that are assessed.

    Returns
    -------
    tuple of AssessedCalibration
        Empty where no crystal was predicted by methods of two tiers.

    Raises
    ------
    SettingError
        If alpha is no risk that can be accepted.
    """
    check_risk(alpha)
    build_calibrations(database, quantities)
    return tuple(
        _assessed(database, cheap, reference, some, quantities, alpha)
        for (cheap, reference), some in calibration_pairs(database).items()
    )


def _assessed(
    database: Database,
    cheap: str,
    reference: str,
    pairs: Sequence[Pair],
    quantities: Sequence[Quantity],
    alpha: float,
) -> AssessedCalibration:
    calibration = read_calibrations(database, cheap, reference)[-1]
    return AssessedCalibration(
        calibration, len(pairs), assess_calibration(pairs, quantities, alpha)
    )


def lines_of(one: AssessedCalibration) -> list[str]:
    """Say in words what was compared with what, and what could not be."""
    found = one.calibration
    head = (
        f"{found.cheap_family} against {found.reference_family}: {one.n_pairs} crystals, "
        f"{found.n_compositions} compositions, calibration {found.calibration_id[:_ID_DIGITS]}"
    )
    return [head, *(f"left out: {n}, {reason}" for reason, n in found.skipped.items())]


def known_calibrations(database: Database) -> tuple[KnownCalibration, ...]:
    """List every calibration that decisions can rest on: of the database, then the shipped ones."""
    criteria = by_field("kind", ModelKind.CALIBRATION.value)
    found: dict[str, KnownCalibration] = {}
    for row in database.models.query(criteria, sort={"last_updated": -1}):
        document = ModelDocument.load(row)
        origin = "imported" if document.training_set_digest is None else "own"
        one = Calibration.from_dict(document.calibration or {})
        found.setdefault(one.calibration_id, KnownCalibration(one, origin))
    for one in shipped_calibrations():
        found.setdefault(one.calibration_id, KnownCalibration(one, "shipped"))
    return tuple(found.values())


def texts_of_calibrations(database: Database, calibration_ids: Collection[str]) -> dict[str, str]:
    """Say of calibrations that decisions name which families they compare, by their keys."""
    return {
        key: f"{one.calibration.cheap_family} against {one.calibration.reference_family}"
        for one in (known_calibrations(database) if calibration_ids else ())
        if (key := one.calibration.calibration_id) in calibration_ids
    }


def export_calibrations(calibrations: Iterable[Calibration], folder: Path) -> list[Path]:
    """Write each calibration to a JSON file that `import_calibration` reads.

    Files are named by the two families; where several compare the same, all but the first have
    their key in the name too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for one in calibrations:
        parts = (one.cheap_family, one.reference_family)
        stem = re.sub(r"[^A-Za-z0-9.-]+", "-", "_by_".join(parts))
        path = folder / f"{stem}.json"
        if path in written:
            path = folder / f"{stem}-{one.calibration_id[:_ID_DIGITS]}.json"
        with atomic_path(path) as temporary:
            text = json.dumps(one.as_dict(), sort_keys=True, allow_nan=False)
            Path(temporary).write_text(text + "\n", encoding="utf-8")
        written.append(path)
    return written


def import_calibration(database: Database, path: Path) -> str:
    """Store the calibration of a file; returns its key.

    Raises
    ------
    ParseError
        If the file holds no calibration.
    """
    values = _read(path)
    try:
        calibration = Calibration.from_dict(values)
    except ScreeningError as error:
        raise ParseError(error.message, subject=str(path), hint=error.hint) from error
    return store_calibration(database, calibration, notes=(f"imported from {path.name}",))


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ParseError("is too large for a calibration", subject=str(path))
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ParseError(
            f"cannot be read: {error}",
            subject=str(path),
            hint="Give a file that phonoscreen calibrate --export wrote",
        ) from error


def assessed_by_default() -> tuple[Quantity, ...]:
    """Quantities that a report shows unless others are asked for."""
    return tuple(q for q in default_quantities() if q.temperature_k in {None, 300.0, 1000.0})
