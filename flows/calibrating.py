"""Which calibration a method is judged by, and making, exporting and importing them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from screening.errors import NotFoundError, ParseError, ScreeningError
from screening.predictors.interface import Predictor
from screening.quantities import Property, Quantity
from screening.uncertainty.assessment import QuantityAssessment, assess_calibration
from screening.uncertainty.calibration import Calibration, default_quantities
from screening.uncertainty.conformal import check_alpha
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
from stores.exporters import atomic_path

__all__ = [
    "AssessedCalibration",
    "assessed_by_default",
    "assessed_calibrations",
    "best_calibration",
    "calibration_note",
    "export_calibration",
    "family_of",
    "find_calibration",
    "import_calibration",
    "lines_of",
]

_MAX_BYTES = 100_000_000
_ID_DIGITS = 12
_SAME = 3


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


def calibration_note(calibration: Calibration, reference: Predictor) -> str:
    """Say where a calibration's reference is not quite the one that decides; else nothing."""
    wanted = family_of(reference)
    if closeness(calibration.reference_family, wanted) == _SAME:
        return ""
    return (
        f"intervals are calibrated against {calibration.reference_family}, which has the same "
        f"functional as the reference {wanted} but other settings"
    )


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

    Raises
    ------
    SettingError
        If alpha is no risk.
    NotFoundError
        If no crystal was predicted by two methods.
    """
    check_alpha(alpha)
    build_calibrations(database, quantities)
    pairs = calibration_pairs(database)
    if not pairs:
        raise NotFoundError(
            "no crystal has predictions of two tiers",
            subject="calibration",
            hint="Screen some with a first-principles calculator too, or import forces",
        )
    return tuple(
        _assessed(database, cheap, reference, some, quantities, alpha)
        for (cheap, reference), some in pairs.items()
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


def export_calibration(calibration: Calibration, folder: Path) -> Path:
    """Write a calibration to a JSON file of its own that `import_calibration` reads."""
    parts = (calibration.cheap_family, calibration.reference_family)
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", "_by_".join(parts))
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / f"{name}.json") as temporary:
        text = json.dumps(calibration.as_dict(), sort_keys=True, allow_nan=False)
        Path(temporary).write_text(text + "\n", encoding="utf-8")
    return folder / f"{name}.json"


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
