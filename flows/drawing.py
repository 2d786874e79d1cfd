"""Pictures of what a database holds, written to files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows import plots
from flows.calibrating import best_calibration
from flows.catalogue import find_material, in_chunks
from flows.drawing_phonons import draw_conductivity, draw_spectra
from flows.model_cards import parities_of, score_rows
from flows.names import names_of
from flows.results import StoredMaterial, find_phonons, material, spectra_of
from flows.stored_models import model_named
from flows.tables import experiments_of
from screening.decisions.questions import StabilityQuestion
from screening.errors import NotFoundError
from screening.quantities import Property, Quantity
from screening.uncertainty.assessment import assess_calibration
from screening.uncertainty.risk import StabilityJudgement
from screening.uncertainty.samples import sample_of
from stores.builders.calibrations import calibration_pairs, family_of_document
from stores.connect import Database
from stores.documents import DecisionDocument, PredictionDocument
from stores.exporters import write_json, write_table
from stores.query import by_field, in_values

if TYPE_CHECKING:
    from screening.gaussian_process.learning import LearningCurve

__all__ = [
    "draw_calibrations",
    "draw_decisions",
    "draw_learning",
    "draw_material",
    "draw_model",
    "draw_overview",
    "draw_rankings",
    "materials_named",
    "rankings_of",
    "structures_of",
]


_DRAWN_ALPHAS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
_DRAWN_PROPERTIES = (Property.FREE_ENERGY, Property.FREE_ENERGY_DIFFERENCE)
_DRAWN_TEMPERATURES_K = (300.0, 1000.0)


def draw_calibrations(database: Database, folder: Path, suffix: str = ".png") -> list[Path]:
    """Draw coverage and half widths of every calibration, on compositions held out."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for (cheap, reference), pairs in calibration_pairs(database).items():
        for kind in _DRAWN_PROPERTIES:
            quantities = [Quantity(kind, t) for t in _DRAWN_TEMPERATURES_K]
            by_alpha = {a: assess_calibration(pairs, quantities, a) for a in _DRAWN_ALPHAS}
            if not any(by_alpha.values()):
                continue
            figure = plots.plot_calibration(by_alpha, title=f"{cheap}\nagainst {reference}")
            stem = re.sub(r"[^A-Za-z0-9.-]+", "-", f"{kind}-{cheap}-{reference}")
            written.append(plots.save_figure(figure, folder / f"calibration-{stem}{suffix}"))
    return written


def draw_decisions(
    database: Database, folder: Path, suffix: str = ".png", material_ids: Sequence[str] = ()
) -> list[Path]:
    """Draw intervals, tolerances and what was decided, for every question and temperature.

    Parameters
    ----------
    database
        An open database.
    folder, suffix
        Where the files go, and their format.
    material_ids
        Only decisions about these; nothing: about all.

    Raises
    ------
    NotFoundError
        If nothing was decided.
    """
    criteria = in_values("material_id", list(material_ids)) if material_ids else {}
    found = [DecisionDocument.load(row) for row in database.decisions.query(criteria)]
    views = plots.interval_views(found, _about(database, found))
    if not views:
        raise NotFoundError(
            "nothing was decided about them",
            hint="Run 'phonoscreen screen --question stability', or another question, first",
        )
    folder.mkdir(parents=True, exist_ok=True)
    stems: Counter[str] = Counter()
    written = []
    for view in views:
        words = view.question.replace("<", "below").replace(">", "above")
        stem = re.sub(r"[^A-Za-z0-9.]+", "-", words).strip("-")
        stems[stem] += 1
        again = f"-{stems[stem]}" if stems[stem] > 1 else ""  # one question, several temperatures
        path = folder / f"decisions-{stem}{again}{suffix}"
        written.append(plots.save_figure(plots.plot_intervals(view), path))
    return written


def _about(database: Database, decisions: Sequence[DecisionDocument]) -> plots.DecidedCrystals:
    """Read names and predictions that decisions are about, and the thresholds of verdicts."""
    names = _full_names(database, [one.material_id for one in decisions])
    keys = list(dict.fromkeys(one.prediction_id for one in decisions if one.prediction_id))
    predictions = [
        PredictionDocument.load(row)
        for chunk in in_chunks(keys)
        for row in database.predictions.query(in_values("prediction_id", chunk))
    ]
    samples = {
        one.prediction_id: sample_of(one.to_prediction(), one.material_id) for one in predictions
    }
    return plots.DecidedCrystals(names, samples, _thresholds(database, decisions, predictions))


def _full_names(database: Database, material_ids: Sequence[str]) -> dict[str, str]:
    """Return formula and name of some materials and of all their polymorphs."""
    phases = names_of(database, material_ids)
    return {
        row["material_id"]: f"{plots.figure_title(row['formula_reduced'])}  "
        f"{phases[row['material_id']]}"
        for chunk in in_chunks(list(phases))
        for row in database.structures.query(
            in_values("material_id", chunk), ["material_id", "formula_reduced"]
        )
    }


def _thresholds(
    database: Database,
    decisions: Sequence[DecisionDocument],
    predictions: Sequence[PredictionDocument],
) -> dict[float, StabilityJudgement]:
    """Judge one crystal of the lowest tier at every risk that stability was decided at."""
    stability = StabilityQuestion().text
    alphas = {one.alpha for one in decisions if one.question == stability and one.alpha is not None}
    if not predictions or not alphas:
        return {}
    tiers = {one.tier: one for one in predictions}
    cheap, better = tiers[min(tiers)], tiers[max(tiers)]
    wanted = family_of_document(better) if better is not cheap else ""
    family = family_of_document(cheap)
    sample = sample_of(cheap.to_prediction(), cheap.material_id)
    found = {alpha: best_calibration(database, family, wanted, alpha) for alpha in sorted(alphas)}
    return {alpha: one.stability(sample, alpha) for alpha, one in found.items() if one}


def draw_material(database: Database, material_id: str, folder: Path, suffix: str) -> list[Path]:
    """Draw bands with density of states, the thermodynamic functions, and the conductivity.

    The conductivity, with the modes that carry it, is drawn where the method has one.

    Raises
    ------
    NotFoundError
        If the material is unknown or not screened yet.
    """
    stored = material(database, material_id)
    if stored.prediction is None:
        raise NotFoundError(
            "not screened yet", subject=material_id, hint="Run 'phonoscreen screen' first"
        )
    title = _title(stored)
    stem = folder / f"{stored.structure.formula_reduced}-{material_id}"
    phonons = find_phonons(database, stored.prediction.prediction_id)
    spectra = spectra_of(database, stored.prediction)
    written = [] if spectra is None else draw_spectra(*spectra, title, stem, suffix)
    is_drawn = phonons is not None and bool(phonons.document.n_displaced_cells)
    spread = stored.prediction.spread
    figure = plots.plot_thermodynamics(
        stored.prediction.thermodynamics.to_result(),
        spread.to_result() if spread else None,
        # a method that learns from displaced cells draws its members from a posterior
        members="draws" if is_drawn else "models",
        intervals=[one.to_interval() for one in stored.prediction.intervals],
        title=title,
    )
    written.append(plots.save_figure(figure, Path(f"{stem}-thermodynamics{suffix}")))
    return written + ([] if phonons is None else draw_conductivity(phonons, title, stem, suffix))


def draw_learning(
    curve: LearningCurve, stem: Path, suffix: str = ".png", title: str = ""
) -> list[Path]:
    """Draw learning curves, and write the same numbers as CSV and JSON beside the picture.

    Parameters
    ----------
    curve
        Fits with different numbers of cells.
    stem
        Path of the files without their suffixes.
    suffix
        Format of the picture.
    title
        Above the figure.

    Raises
    ------
    SettingError
        If there is nothing to draw, or no picture format has the suffix.
    """
    figure = plots.plot_learning(curve, title=title)
    rows = plots.learning_table(curve)
    content = {
        "held_out": list(curve.held_out),
        "held_out_force_ev_per_angstrom": curve.force_ev_per_angstrom,
        "points": rows,
    }
    return [
        plots.save_figure(figure, stem.with_name(stem.name + suffix)),
        write_table(stem.with_name(f"{stem.name}.csv"), rows),
        write_json(stem.with_name(f"{stem.name}.json"), content),
    ]


def draw_model(database: Database, name: str, folder: Path, suffix: str) -> list[Path]:
    """Draw the card of a trained model: held-out predictions, errors and how training went.

    Parameters
    ----------
    database
        An open database.
    name
        As :func:`flows.stored_models.model_named` takes it.
    folder, suffix
        Where the files go, and their format.

    Raises
    ------
    NotFoundError
        If there is no such model.
    SettingError
        If its card keeps nothing that can be drawn.
    """
    model_id, model = model_named(database, name, "plot --model {}")
    stem = "model-" + re.sub(r"[^A-Za-z0-9.-]+", "-", model_id)
    card, parities = model.card, parities_of(model.card)
    trained = "cells" if "history" in card else "structures"
    title = f"{model_id}  ·  {model.n_training_samples}\N{NO-BREAK SPACE}{trained}"
    drawn: dict[str, Any] = {}
    if any(row.mad for row in score_rows(card)) or not card.get("history"):
        scores = score_rows(card)
        drawn["scores"] = plots.plot_model_scores(scores, card.get("variants"), title=title)
    if card.get("history"):
        drawn["history"] = plots.plot_training_history(card["history"], title=title)
    if parities:
        drawn["parity"] = plots.plot_parity(parities, title=title)
    return [
        plots.save_figure(figure, folder / f"{stem}-{name}{suffix}")
        for name, figure in drawn.items()
    ]


def draw_rankings(
    database: Database, formulas: Iterable[str], folder: Path, suffix: str
) -> list[Path]:
    """Draw the ranking of each composition.

    Raises
    ------
    NotFoundError
        If a composition has no ranking.
    """
    written = []
    for view in _views(database, rankings_of(database, formulas)):
        figure = plots.plot_ranking(view)
        written.append(plots.save_figure(figure, folder / f"{view.formula}-ranking{suffix}"))
    return written


def draw_overview(database: Database, folder: Path, suffix: str) -> list[Path]:
    """Draw the phase of lowest free energy of every composition with several phases."""
    documents = [
        one for one in rankings_of(database) if len(one["polymorphs"]) + len(one["excluded"]) > 1
    ]
    figure = plots.plot_overview(_views(database, documents))
    return [plots.save_figure(figure, folder / f"overview{suffix}")]


def materials_named(database: Database, name: str) -> list[str]:
    """Return the material that a name means, or all of a composition.

    Raises
    ------
    NotFoundError
        If it names neither.
    """
    try:
        return [find_material(database, name)]
    except NotFoundError:
        rows = database.structures.query(
            by_field("formula_reduced", _reduced(name)), ["material_id"]
        )
        found = [row["material_id"] for row in rows]
        if not found:
            raise
        return found


def rankings_of(database: Database, formulas: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Return the rankings of some compositions, or of all, sorted by formula.

    Raises
    ------
    NotFoundError
        If a composition has no ranking.
    """
    wanted = None if formulas is None else list(dict.fromkeys(map(_reduced, formulas)))
    criteria = {} if wanted is None else in_values("formula_reduced", wanted)
    found = list(database.polymorphs.query(criteria, sort={"formula_reduced": 1}))
    missing = set(wanted or ()) - {one["formula_reduced"] for one in found}
    if missing:
        raise NotFoundError(
            f"no ranking of {', '.join(sorted(missing))}",
            hint="Give reduced formulas such as TiO2, and run 'phonoscreen screen' first",
        )
    return found


def _reduced(formula: str) -> str:
    """Reduced formula as the collections have it (TiPbO3 for PbTiO3); other text as it is."""
    from pymatgen.core import Composition

    try:
        return Composition(formula).reduced_formula
    except ValueError:
        return formula


def structures_of(
    database: Database, documents: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the structures of all phases in some rankings."""
    names = [
        one["material_id"]
        for document in documents
        for one in [*document["polymorphs"], *document["excluded"]]
    ]
    return list(database.structures.query(in_values("material_id", names)))


def _views(database: Database, documents: Sequence[Mapping[str, Any]]) -> list[plots.RankingView]:
    experiments = experiments_of(structures_of(database, documents))
    return [
        plots.ranking_view(one, experiments=experiments, tie_mev_per_atom=one["tie_mev_per_atom"])
        for one in documents
    ]


def _title(stored: StoredMaterial) -> str:
    assert stored.prediction is not None
    return plots.figure_title(
        stored.structure.formula_reduced,
        space_group_symbol=stored.structure.space_group_symbol,
        method=stored.prediction.provenance.method or "",
        model=stored.prediction.provenance.model or "",
    )
