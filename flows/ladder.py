"""The methods of a routed screen, from the cheapest to the best, as plain values and as objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from flows.makers.batch import ScreenBatchMaker
from flows.makers.dft import DftPhononMaker
from flows.makers.gaussian_process import GaussianProcessMaker
from flows.predictors import cached_predictor
from flows.trained import training_source
from screening.decisions.outcome import Standing
from screening.errors import SettingError
from screening.predictors.interface import Predictor, Tier

if TYPE_CHECKING:
    from jobflow import Flow, Job

    from screening.prediction import Prediction
    from screening.structure import Crystal

__all__ = ["FEW_CELLS", "VASP", "Ladder", "NamedMethod", "Step", "read_ladder"]

VASP = "vasp"
"""Calculator of a step that only runs as a flow of its own jobs."""

FEW_CELLS = "few-cells:"
"""Before a calculator's name: force constants are learned from a few displaced cells."""

_BATCH = 50  # materials per job of a cheap method

_KEYS = frozenset({"calculator", "settings", "vasp", "method"})


@dataclass(frozen=True)
class NamedMethod:
    """What identifies the predictions of a method, where its program need not be installed.

    The attributes are those of :class:`screening.predictors.interface.Predictor`, and of a
    trained model what it learned from.
    """

    method: str
    method_version: int
    tier: Tier
    model: str
    model_digest: str
    settings: Mapping[str, object]
    settings_digest: str
    training_source: str = ""

    @classmethod
    def of(cls, predictor: Predictor) -> NamedMethod:
        """Take the name of a method from what makes its predictions."""
        return cls(
            method=predictor.method,
            method_version=predictor.method_version,
            tier=predictor.tier,
            model=predictor.model,
            model_digest=predictor.model_digest,
            settings=dict(predictor.settings),
            settings_digest=predictor.settings_digest,
            training_source=training_source(predictor),
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NamedMethod:
        """Read what `as_dict` wrote.

        Raises
        ------
        SettingError
            If it is something else.
        """
        try:
            return cls(**{**values, "tier": Tier(values["tier"])})
        except (KeyError, TypeError, ValueError) as error:
            raise SettingError(f"names no method: {error}", subject="ladder") from error

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {"tier": int(self.tier)}

    def predict(self, crystal: Crystal) -> Prediction:
        """Refuse, for it is a name only.

        Raises
        ------
        SettingError
            Always.
        """
        raise SettingError(f"{self.model} is named here, not loaded", subject=crystal.material_id)


@dataclass(frozen=True)
class Step:
    """One method of a ladder.

    Attributes
    ----------
    calculator
        As :func:`screening.calculators.load_calculator` reads it, or ``vasp``.
    settings
        :meth:`screening.settings.ScreeningSettings.as_dict`; empty for the defaults. With
        ``few_cells`` its force constants are learned from a few displaced cells.
    vasp
        Fields of :class:`flows.makers.vasp_settings.VaspSettings`; only for VASP.
    predictor
        What identifies its predictions, and makes them where it is not VASP.
    """

    calculator: str
    settings: Mapping[str, Any]
    vasp: Mapping[str, Any]
    predictor: Predictor = field(compare=False)

    @property
    def tier(self) -> int:
        """Tier of its predictions."""
        return int(self.predictor.tier)

    @property
    def has_few_cells(self) -> bool:
        """Whether it learns force constants from a few displaced cells."""
        return self.settings.get("few_cells") is not None

    @property
    def name(self) -> str:
        """What people call it: the model, and how it is used where that is not the usual way."""
        return f"{FEW_CELLS if self.has_few_cells else ''}{self.predictor.model}"

    def maker(self) -> ScreenBatchMaker:
        """Return the maker that predicts batches on this machine.

        Raises
        ------
        SettingError
            If it only runs as a flow of its own.
        """
        if self.calculator == VASP:
            raise SettingError(
                "VASP runs as a flow of many jobs, not inside a screen",
                subject="ladder",
                hint="Use phonoscreen launch, or a fallback such as gpaw or espresso",
            )
        return ScreenBatchMaker(calculator=self.calculator, settings=dict(self.settings))

    @property
    def is_cheap(self) -> bool:
        """Whether many materials share a job."""
        return self.tier <= Tier.POTENTIAL

    def shared_out(self, names: Sequence[str]) -> Iterator[Sequence[str]]:
        """Divide materials into groups of one job or flow each."""
        size = _BATCH if self.is_cheap else 1
        for start in range(0, len(names), size):
            yield names[start : start + size]

    def work(self, database_uri: str, names: Sequence[str]) -> Job | Flow:
        """Return what predicts one of the groups of `shared_out`."""
        if self.is_cheap:
            return self.maker().make(database_uri, names)
        return self.flow(database_uri, names[0])

    def flow(self, database_uri: str, material_id: str) -> Flow:
        """Return the flow that predicts one material from first principles."""
        if self.calculator == VASP:
            from flows.makers.vasp import VaspPhononMaker

            maker = VaspPhononMaker(settings=dict(self.settings), vasp=dict(self.vasp))
            return maker.make(database_uri, material_id)
        if self.has_few_cells:
            few_cells = GaussianProcessMaker(
                calculator=self.calculator,
                settings=dict(self.settings),
                model_digest=self.predictor.model_digest,
                settings_digest=self.predictor.settings_digest,
            )
            return few_cells.make(database_uri, material_id)
        fallback = DftPhononMaker(
            calculator=self.calculator,
            settings=dict(self.settings),
            model_digest=self.predictor.model_digest,
        )
        return fallback.make(database_uri, material_id)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values that `read_ladder` reads back."""
        plain: dict[str, Any] = {"calculator": self.calculator, "settings": dict(self.settings)}
        return plain | ({"vasp": dict(self.vasp)} if self.vasp else {})


@dataclass(frozen=True)
class Ladder:
    """Methods of ascending tier.

    Attributes
    ----------
    steps
        At least one.
    """

    steps: tuple[Step, ...]

    @property
    def first(self) -> Step:
        """The cheapest method, which every material gets."""
        return self.steps[0]

    def standing(self, level: int, alpha: float) -> Standing:
        """Say where a method stands; the last one is the reference if it is better than a model.

        Parameters
        ----------
        level
            Place in the ladder.
        alpha
            Accepted risk.
        """
        is_last = level == len(self.steps) - 1
        tier = self.steps[level].tier
        return Standing(
            tier=tier,
            next_tier=None if is_last else self.steps[level + 1].tier,
            is_reference=is_last and tier > Tier.POTENTIAL,
            alpha=alpha,
        )

    def flows(
        self, database_uri: str, wanted: Sequence[tuple[str, int]]
    ) -> tuple[list[Job | Flow], list[Any]]:
        """Return what predicts materials by better methods, in batches where these are cheap.

        Parameters
        ----------
        database_uri
            Where.
        wanted
            Materials, each with the place of its method.

        Returns
        -------
        tuple
            Jobs and flows, and for every material the output that will say what became of it.
        """
        made: list[Job | Flow] = []
        outputs: dict[tuple[str, int], Any] = {}
        for level, step in enumerate(self.steps):
            names = [name for name, one in wanted if one == level]
            for some in step.shared_out(names):
                made.append(step.work(database_uri, some))
                outputs |= {(name, level): made[-1].output for name in some}
        return made, [outputs[one] for one in wanted]

    def level_of(self, tier: int) -> int:
        """Return the place of the method of a tier."""
        return next(place for place, one in enumerate(self.steps) if one.tier == tier)

    def as_list(self) -> list[dict[str, Any]]:
        """Return plain values that `read_ladder` reads back."""
        return [one.as_dict() for one in self.steps]

    def named(self) -> list[dict[str, Any]]:
        """Return plain values that `read_ladder` reads back without loading a calculator.

        For jobs that decide what is computed, on workers that compute nothing.
        """
        return [
            one.as_dict() | {"method": NamedMethod.of(one.predictor).as_dict()}
            for one in self.steps
        ]


def read_ladder(values: Sequence[Mapping[str, Any]]) -> Ladder:
    """Read a ladder and load its calculators, unless their methods are named.

    Parameters
    ----------
    values
        For each method ``calculator``, and where they are not the defaults ``settings`` and
        ``vasp``; from the cheapest to the best. ``method`` is what :meth:`Ladder.named` adds.

    Raises
    ------
    SettingError
        If there is no method, one has unknown keys, or the tiers do not ascend.
    ModelError
        If a calculator cannot be loaded.
    """
    if not values:
        raise SettingError("there is no method", subject="ladder", hint="Name a calculator")
    steps = tuple(_step(one) for one in values)
    for lower, upper in pairwise(steps):
        if upper.tier <= lower.tier:
            raise SettingError(
                f"{upper.calculator} (tier {upper.tier}) is not above "
                f"{lower.calculator} (tier {lower.tier})",
                subject="ladder",
                hint="Name methods from the cheapest to the best: a trained model "
                "(rf-ifc, ldml or alignn:FILE) is tier 0, a potential tier 1, a few cells from "
                f"first principles ({FEW_CELLS}gpaw) are tier 2, all displacements (gpaw) tier 3",
            )
    return Ladder(steps)


def _step(values: Mapping[str, Any]) -> Step:
    unknown = set(values) - _KEYS
    if unknown or not isinstance(values.get("calculator"), str):
        problem = f"unknown: {', '.join(sorted(unknown))}" if unknown else "no calculator is named"
        raise SettingError(problem, subject="ladder", hint=f"Give {', '.join(sorted(_KEYS))}")
    calculator, settings = str(values["calculator"]), dict(values.get("settings") or {})
    vasp = dict(values.get("vasp") or {})
    if values.get("method") is not None:
        return Step(calculator, settings, vasp, NamedMethod.from_dict(values["method"]))
    if calculator == VASP:
        from flows.makers.vasp import VaspPhononMaker

        _refuse_few_cells(settings)
        predictor: Predictor = VaspPhononMaker(settings=settings, vasp=vasp).predictor()
    elif vasp:
        raise SettingError("settings of VASP for another calculator", subject=calculator)
    else:
        predictor = cached_predictor(calculator, settings)
    return Step(calculator, settings, vasp, predictor)


def _refuse_few_cells(settings: Mapping[str, Any]) -> None:
    """Refuse what the jobs of VASP do not do: they displace one atom after the other."""
    if settings.get("few_cells") is not None:
        raise SettingError(
            "VASP does not compute a few displaced cells as a flow",
            subject=f"{FEW_CELLS}{VASP}",
            hint="Write the cells with phonoscreen gp plan, compute them, and read them with "
            "phonoscreen gp fit",
        )
