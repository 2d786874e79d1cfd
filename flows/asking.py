"""From the options of the command line to what a routed screen is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from flows.ladder import FEW_CELLS, VASP
from flows.options import parse_temperatures
from flows.routing import Work
from flows.trained import is_trained, needs_electrons
from screening.decisions.parsing import parse_questions
from screening.decisions.selection import Budget
from screening.errors import SettingError
from screening.few_cells import FewCellSettings
from screening.settings import ScreeningSettings
from screening.uncertainty.conformal import check_risk

__all__ = ["DEFAULT_ALPHA", "RoutingOptions", "fallback_step", "work_of"]

_T = TypeVar("_T", float, str)

DEFAULT_ALPHA = 0.1
_OF_THE_FALLBACK = frozenset(
    {"--fallback-settings", "--max-dft", "--budget-hours", "--dft-time-limit"}
)


@dataclass(frozen=True)
class RoutingOptions:
    """Options of the command line that make a screen a routed one, as they were typed.

    Attributes
    ----------
    questions
        What is asked; without any the others are refused.
    tolerance, at
        For the questions that take them; temperatures in K. Lists hold what was typed in
        several options, which is refused.
    alpha
        Accepted risk.
    fallback, fallback_settings
        Calculators of the better methods from the cheapest to the best, and a JSON file with
        what differs from the settings of the cheapest one.
    max_dft, budget_hours
        Budget of the better methods, earlier runs for the same materials included.
    dft_time_limit
        Seconds after which a better method gives a material up.
    """

    questions: tuple[str, ...] = ()
    tolerance: float | list[float] | None = None
    at: str | list[str] | None = None
    alpha: float | None = None
    fallback: tuple[str, ...] = ()
    fallback_settings: Path | None = None
    max_dft: int | None = None
    budget_hours: float | None = None
    dft_time_limit: float | None = None

    def given(self) -> list[str]:
        """Name the options besides the questions that were given."""
        named = {
            "--tolerance": _once("--tolerance", self.tolerance),
            "--at": _once("--at", self.at),
            "--alpha": self.alpha,
            "--fallback": self.fallback or None,
            "--fallback-settings": self.fallback_settings,
            "--max-dft": self.max_dft,
            "--budget-hours": self.budget_hours,
            "--dft-time-limit": self.dft_time_limit,
        }
        return [name for name, value in named.items() if value is not None]


def work_of(options: RoutingOptions, calculator: str, settings: ScreeningSettings) -> Work | None:
    """Return what a routed screen is asked; None where no question is.

    Parameters
    ----------
    options
        As typed.
    calculator, settings
        Of the cheapest method.

    Raises
    ------
    SettingError
        If an option contradicts another, or a question cannot be read.
    """
    if not options.questions:
        if options.given():
            raise SettingError(
                f"{', '.join(options.given())} without a question",
                subject="--question",
                hint="Ask one, for instance --question stability",
            )
        return None
    ladder = [{"calculator": calculator, "settings": settings.as_dict()}]
    if not options.fallback:
        _refuse_without_fallback(options)
    ladder += _fallback_steps(options.fallback, options.fallback_settings, calculator, settings)
    tolerance, at = _once("--tolerance", options.tolerance), _once("--at", options.at)
    return Work(
        ladder=ladder,
        questions=parse_questions(
            options.questions,
            tolerance=tolerance,
            temperatures_k=None if at is None else _temperatures(at),
        ),
        alpha=DEFAULT_ALPHA if options.alpha is None else check_risk(options.alpha),
        budget=Budget(options.max_dft, options.budget_hours),
    )


def _once(name: str, value: _T | list[_T] | None) -> _T | None:
    """Return the value of an option that may stand once."""
    if not isinstance(value, list):
        return value
    if len(value) > 1:
        raise SettingError(
            f"given {len(value)} times: {', '.join(map(str, value))}",
            subject=name,
            hint="Give it once; a question can have its own, such as "
            "'free-energy at 300,1000 K within 10 meV/atom'",
        )
    return value[0] if value else None


def _temperatures(text: str) -> tuple[float, ...]:
    try:
        return parse_temperatures(text)
    except SettingError as error:
        raise SettingError(
            f"{text!r} is no list of temperatures", subject="--at", hint="Write 300 or 300,1000"
        ) from error


def _refuse_without_fallback(options: RoutingOptions) -> None:
    needing = _OF_THE_FALLBACK & set(options.given())
    if needing:
        raise SettingError(
            f"{', '.join(sorted(needing))} without a better method",
            subject="--fallback",
            hint="Name a calculator from first principles, for instance --fallback gpaw",
        )


def _fallback_steps(
    fallbacks: Sequence[str], file: Path | None, calculator: str, settings: ScreeningSettings
) -> list[dict[str, Any]]:
    """Return the steps of better methods; few cells start from the first potential there is."""
    few_cells = any(one.startswith(FEW_CELLS) for one in fallbacks)
    if file is not None and not few_cells and _read(file).get("few_cells") is not None:
        raise SettingError(
            "has settings of few displaced cells, and no method uses them",
            subject=str(file),
            hint=f"Name one, for instance --fallback {FEW_CELLS}gpaw",
        )
    potentials = (one for one in (calculator, *fallbacks) if _is_potential(one))
    prior = next(potentials, "") if few_cells else ""
    return [fallback_step(one, file, settings, prior=prior) for one in fallbacks]


def _is_potential(calculator: str) -> bool:
    if calculator == VASP or calculator.startswith(FEW_CELLS) or is_trained(calculator):
        return False
    return not needs_electrons(calculator)


def fallback_step(
    calculator: str, file: Path | None, settings: ScreeningSettings, *, prior: str = ""
) -> dict[str, Any]:
    """Return the step of a better method.

    Parameters
    ----------
    calculator
        Its calculator; after ``few-cells:`` force constants are learned from a few cells with
        all atoms displaced, else from displacements of one atom after the other.
    file
        JSON with the settings that differ from those of the cheapest method; under ``vasp``
        those of VASP, under ``few_cells`` those of displaced cells, which the others do not
        get. The displacement is the calculator's own unless it is given there.
    settings
        Of the cheapest method.
    prior
        Calculator whose force constants a few cells start from, unless the file names another.

    Raises
    ------
    SettingError
        If the file cannot be read or a setting is wrong.
    """
    base = settings.as_dict()
    base["phonons"] = base["phonons"] | {"displacement_angstrom": None, "adaptive": False}
    changes = {} if file is None else _read(file)
    vasp = changes.pop("vasp", None)
    name = calculator.removeprefix(FEW_CELLS)
    if name == calculator:
        base["few_cells"] = changes["few_cells"] = None
    elif base.get("few_cells") is None:
        base["few_cells"] = asdict(FewCellSettings(prior=prior))
    merged = ScreeningSettings.from_dict(_merged(base, changes)).as_dict()
    step: dict[str, Any] = {"calculator": name.strip(), "settings": merged}
    has_own = vasp is not None and name == calculator
    return step | ({"vasp": vasp} if has_own else {})


def _read(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"), parse_constant=_no_number)
    except (OSError, ValueError, RecursionError) as error:
        raise SettingError(
            f"cannot be read: {error}", subject=str(file), hint="Give a JSON file of settings"
        ) from error
    if not isinstance(values, dict):
        raise SettingError("is no JSON object", subject=str(file))
    return values


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number that a setting can have")


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Overlay nested values; null and whole lists replace what was there."""
    merged = dict(base)
    for name, value in changes.items():
        old = merged.get(name)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            merged[name] = _merged(old, value)
        else:
            merged[name] = value
    return merged
