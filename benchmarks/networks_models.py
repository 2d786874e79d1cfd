"""The potentials that are measured, and which compositions they have learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from phonondb import Run
from pymatgen.core import Composition
from references import read_records
from report import Figure

from screening.calculators import ForceCalculator, load_calculator
from screening.calculators.shipped import shipped_potential
from screening.model_files import read_model
from screening.network_potential.softening import frequency_scale_of
from screening.phonons import PhononSettings
from screening.shipped_models import WEIGHTS_FOLDER
from screening.trained_model import TrainedModel

__all__ = [
    "DISPLACEMENT_ANGSTROM",
    "RESERVED",
    "Potential",
    "PotentialPhonons",
    "compositions_trained_on",
    "compositions_used_by",
    "failure_figures",
    "load_potential",
    "training_figures",
]

DISPLACEMENT_ANGSTROM = 0.03

RESERVED = frozenset(
    Composition(name).reduced_formula
    for name in """
    AgBr AgCl AgI AlAs AlN AlP AlSb BAs BN BP BaO BaS BaSe BaTe BeO BeS BeSe BeTe CaO CaS CaSe
    CaTe CdO CdS CdSe CdTe CsF CuBr CuCl CuH CuI GaAs GaN GaP GaSb InAs InN InP InSb KBr KCl KF KH
    KI LiBr LiCl LiF LiH LiI MgO MgTe NaBr NaCl NaF NaH NaI PbS PbSe PbTe RbBr RbCl RbF RbH RbI SiC
    SrO ZnO ZnS ZnSe ZnTe
    """.split()  # noqa: SIM905 - read by people
)
"""Compositions that no model that ships with the project learns from, in any structure."""


@dataclass(frozen=True, eq=False)
class Potential:
    """A potential, with the model behind it where it was trained here.

    Attributes
    ----------
    spec
        As it was asked for.
    calculator
        Ready to use, its frequency scale included.
    model
        None for others, CHGNet for instance.
    """

    spec: str
    calculator: ForceCalculator
    model: TrainedModel | None = None

    @property
    def name(self) -> str:
        """Name of the calculator, with the start of the digest of a model trained here."""
        known = self.calculator.name
        return known if self.model is None else f"{known}@{self.model.digest[:8]}"

    @property
    def scale(self) -> float:
        """What its frequencies are multiplied by."""
        found = None if self.model is None else frequency_scale_of(self.model)
        return 1.0 if found is None else found.factor


def load_potential(spec: str) -> Potential:
    """Load a potential by its specification."""
    calculator = load_calculator(spec)
    path = _model_file(spec)
    return Potential(spec, calculator, None if path is None else read_model(path))


def _model_file(spec: str) -> Path | None:
    """Where the model is stored, None where the potential is of no model of ours."""
    shipped = shipped_potential(spec)
    if shipped is not None:
        return WEIGHTS_FOLDER / f"{shipped}.psm"
    family, _, rest = spec.partition(":")
    name = rest.partition("@")[0]
    return Path(name) if family == "mace" and name.endswith(".psm") else None


def compositions_trained_on(model: TrainedModel | None) -> frozenset[str] | None:
    """Return the reduced formulas that a model learned from, None where its card has no list."""
    split = {} if model is None else model.card.get("split", {})
    names = split.get("training_groups")
    return None if names is None else frozenset(map(str, names))


def compositions_used_by(model: TrainedModel | None) -> frozenset[str] | None:
    """Return what a potential learned from and its frequency scale was fitted to; None unknown."""
    learned = compositions_trained_on(model)
    scale = None if model is None else frequency_scale_of(model)
    return learned if learned is None or scale is None else learned.union(scale.compositions)


def training_figures(potential: Potential, compositions: Sequence[str]) -> list[Figure]:
    """Count the evaluated and the reserved compositions that a potential has to do with.

    What its frequency scale was fitted to counts like what it learned from: the errors that are
    required are those with the scale.

    Parameters
    ----------
    potential
        Trained here or not.
    compositions
        Reduced formulas of the evaluated crystals.
    """
    learned, used = compositions_trained_on(potential.model), compositions_used_by(potential.model)
    evaluated = None if used is None else len(used & set(compositions))
    reserved = None if used is None else len(used & RESERVED)
    return [
        Figure("compositions trained on", None if learned is None else len(learned), ""),
        Figure("compositions in training or scale", None if used is None else len(used), ""),
        Figure("compositions of these crystals in training or scale", evaluated, "", "<= 0"),
        Figure("reserved compositions in training or scale", reserved, "", "<= 0"),
    ]


def failure_figures(what: str, failures: Sequence[str]) -> list[Figure]:
    """Count what was left out, and name each."""
    named = [Figure(f"FAILED {one}", 1, "") for one in failures]
    return [Figure(what, len(failures), ""), *named]


@dataclass
class PotentialPhonons:
    """Phonons of the reference crystals by each potential, computed once.

    Attributes
    ----------
    data
        Folder of the reference data.
    specs
        The potential that is judged, then those it is compared with.
    limit
        As many crystals, spread evenly over all; None takes all.
    """

    data: Path
    specs: tuple[str, ...]
    limit: int | None = None
    runs: dict[str, Run] = field(default_factory=dict)

    @cached_property
    def potentials(self) -> tuple[Potential, ...]:
        """All of them, loaded."""
        return tuple(load_potential(spec) for spec in dict.fromkeys(self.specs))

    def run(self, potential: Potential) -> Run:
        """Return the crystals as one potential sees them; DFT cells, nothing is relaxed."""
        if potential.spec not in self.runs:
            print(f"  {potential.name}", flush=True)
            records = read_records(self.data)
            step = 1 if self.limit is None else max(1, len(records) // self.limit)
            chosen = records[::step][: self.limit]
            settings = PhononSettings(displacement_angstrom=DISPLACEMENT_ANGSTROM)
            run = Run(potential.calculator, settings, relaxed=False)
            for number, record in enumerate(chosen, start=1):
                run.take(record, f"  {number:3d}/{len(chosen)}")
            self.runs[potential.spec] = run
        return self.runs[potential.spec]
