"""Training of a model of force constants: checks, cross-validation, calibration and card."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from screening.random_forest.settings import RandomForestSettings

if TYPE_CHECKING:
    from screening.hessians import ZoneCentreHessian
    from screening.novelty import Lesson
    from screening.prediction import FloatArray
    from screening.random_forest.block_models import HessianModel
    from screening.random_forest.calibration import Calibration, Truth
    from screening.random_forest.curves import Curves
    from screening.random_forest.learning import TrainingData
    from screening.random_forest.model import RandomForestForceConstants
    from screening.random_forest.validation import CrossValidation
    from screening.trained_model import TrainedModel

__all__ = ["train_force_constants"]

Progress = Callable[[str, int, int], None]

_NOTES = (
    "modes of the zone centre of the cell alone; translations count half of the mean",
    "no splitting of longitudinal and transverse modes",
    "for structures relaxed with what computed the training set: it knows no forces",
    "scores are of structures held out whole; all choices are made within the training folds",
)


def train_force_constants(
    training: Sequence[ZoneCentreHessian],
    settings: RandomForestSettings | None = None,
    name: str = "force-constants",
    progress: Progress | None = None,
) -> TrainedModel:
    """Learn force constants from Hessians at the zone centre.

    Every Hessian is checked first; those that are of no use are left out with the reason, and of
    structures that are nearly the same one is kept. Scores, corrections and intervals come from
    cross-validation by structure.

    Parameters
    ----------
    training
        Relaxed structures with their Hessians, all from one source.
    settings
        How to learn.
    name
        Name of the model.
    progress
        Told what is being done, how much of it is done, and how much there is.

    Returns
    -------
    TrainedModel
        Its card holds the published table of scores beside those reached, of guesses and of the
        publication, and everything left out.

    Raises
    ------
    TrainingSetError
        If a name stands for two structures, fewer different structures are left than asked for,
        or they come from several sources.
    """
    from screening.novelty import fit_novelty, lessons_of
    from screening.random_forest.learning import training_data
    from screening.random_forest.model import RandomForestForceConstants
    from screening.random_forest.validation import cross_validate

    started = time.monotonic()
    settings = settings or RandomForestSettings()
    usable, rejected = _usable(training)
    kept = _unique(usable, settings)
    _check_count(len(kept), len(usable), rejected, settings)
    data = training_data(kept, settings)
    validation = cross_validate(data, progress)
    lessons = lessons_of([one.structure for one in kept], data.elements)
    calibration, held_out = _calibration(data, validation, lessons)
    if progress is not None:
        progress("fitting to all structures", 0, 1)
    fitted = _fitted(data, validation)
    card = {
        **_card(data, validation, calibration),
        **held_out,
        "rejected": rejected,
        "n_given": len(training),
        "n_duplicates": len(usable) - len(kept),
        "wall_seconds": round(time.monotonic() - started, 1),
    }
    if progress is not None:
        progress("fitting to all structures", 1, 1)
    model = RandomForestForceConstants(
        data.elements,
        settings,
        fitted,
        validation.correction,
        calibration,
        fit_novelty(lessons, data.elements),
        kept[0].source,
    )
    return _trained(name, data, model, card)


def _usable(
    training: Sequence[ZoneCentreHessian],
) -> tuple[list[ZoneCentreHessian], list[dict[str, str]]]:
    """Check every Hessian; also tell why some are left out."""
    from screening.errors import TrainingSetError
    from screening.hessians import check_training_hessian

    names = Counter(one.material_id for one in training)
    for name, count in names.most_common(1):
        if count > 1:
            raise TrainingSetError(f"{count} Hessians", subject=name, hint="Give each crystal once")
    usable, rejected = [], []
    for one in training:
        try:
            check_training_hessian(one)
        except TrainingSetError as error:
            rejected.append({"material_id": one.material_id, "reason": error.message})
        else:
            usable.append(one)
    sources = sorted({one.source for one in usable})
    if len(sources) > 1:
        raise TrainingSetError(
            f"Hessians of several sources: {', '.join(map(repr, sources))}",
            hint="Train on those of one potential or functional",
        )
    return usable, rejected


def _unique(
    usable: list[ZoneCentreHessian], settings: RandomForestSettings
) -> list[ZoneCentreHessian]:
    """Leave out near copies, whatever order the structures came in."""
    from screening.descriptors.fingerprint import unique_structures

    ordered = sorted(usable, key=lambda one: one.material_id)
    if settings.duplicate_threshold <= 0.0:
        return ordered
    kept = unique_structures([one.structure for one in ordered], settings.duplicate_threshold)
    return [ordered[index] for index in kept]


def _check_count(
    n_kept: int, n_usable: int, rejected: list[dict[str, str]], settings: RandomForestSettings
) -> None:
    from screening.errors import TrainingSetError
    from screening.uncertainty.conformal import fewest_groups

    least = max(settings.min_structures, fewest_groups(1.0 - settings.coverage), settings.n_folds)
    if n_kept >= least:
        return
    reasons = f"; left out for instance: {rejected[0]['reason']}" if rejected else ""
    raise TrainingSetError(
        f"{n_kept} different structures of {n_usable + len(rejected)} given, at least {least} are"
        f" needed{reasons}",
        subject="training",
        hint="Give more relaxed structures with Hessians; skill began at about a hundred",
    )


def _calibration(
    data: TrainingData, validation: CrossValidation, lessons: Sequence[Lesson]
) -> tuple[Calibration, dict[str, Any]]:
    """Calibrate on held-out structures; also tell how often intervals of other folds hold."""
    from screening.novelty import held_out_measures
    from screening.random_forest.calibration import calibrate, domain_of, held_out_coverage

    settings, sites = data.settings, [len(one.structure) for one in data.hessians]
    predicted, references, truth = _curves(data, validation)
    measures = held_out_measures(lessons, data.elements, data.folds)
    domain = domain_of(predicted, measures, sites)
    found = calibrate(predicted, references, data.groups, settings, domain, truth)
    folds = data.folds.tolist()
    refused = [
        not domain.at_rest.novelty(own) <= 1.0
        or not found.disagreement(one) <= domain.disagreement_limit
        for own, one in zip(measures, predicted, strict=True)
    ]
    return found, {
        "held_out_coverage_300k": held_out_coverage(
            predicted, references, data.groups, settings, folds
        ),
        "held_out_refused": sum(refused) / len(refused),
    }


def _curves(
    data: TrainingData, validation: CrossValidation
) -> tuple[list[Curves], list[dict[str, FloatArray]], Truth]:
    """Predicted curves, and true ones: of all wave vectors where all structures have them."""
    from screening.random_forest.curves import curves_of, mesh_references, references_of
    from screening.random_forest.validation import reference_frequencies

    temperatures = data.settings.temperatures_k
    predicted = [curves_of(one, temperatures) for one in validation.spectra]
    meshes = [mesh_references(one.thermodynamics, temperatures) for one in data.hessians]
    known = [one for one in meshes if one is not None]
    if len(known) == len(meshes):
        return predicted, known, "mesh"
    centres = [references_of(one, temperatures) for one in reference_frequencies(data)]
    return predicted, centres, "zone_centre"


def _fitted(data: TrainingData, validation: CrossValidation) -> HessianModel:
    """Fit what the cross-validation chose to all structures."""
    from screening.random_forest.block_models import HessianModel
    from screening.random_forest.learning import fit_model

    folds = range(data.settings.n_folds)
    models = {}
    for variant in dict.fromkeys(validation.choice.values()):
        own = [kind for kind in data.kinds if validation.choice[kind] == variant]
        models[variant] = fit_model(data, variant, folds, kinds=own)
    return HessianModel(models, validation.choice, 1 + data.settings.n_members)


def _card(
    data: TrainingData, validation: CrossValidation, calibration: Calibration
) -> dict[str, Any]:
    """Collect what people should know."""
    from screening.random_forest.blocks import kind_name
    from screening.random_forest.calibration import INTERVALS_HOLD
    from screening.random_forest.scores import parity_table, score_table

    spectra = validation.spectra
    truth = calibration.truth
    return {
        "variant": data.settings.variant,
        "choice": {kind_name(kind): one for kind, one in validation.choice.items()},
        "source": data.hessians[0].source,
        "n_structures": len(data.hessians),
        "n_folds": data.settings.n_folds,
        "seed": data.settings.seed,
        "n_groups": calibration.n_groups,
        "sites_per_cell": list(calibration.domain.sites_per_cell),
        "training_ids": sorted(one.material_id for one in data.hessians),
        "scores": score_table(data, validation, mesh=truth == "mesh"),
        "parity": parity_table(data, validation),
        "clipped_modes_per_cell": sum(one.n_clipped for one in spectra) / len(spectra),
        "sum_rule_violation_ev_per_angstrom2": sum(
            one.sum_rule_violation_ev_per_angstrom2 for one in spectra
        )
        / len(spectra),
        "coverage": data.settings.coverage,
        "intervals_hold": truth,
        "three_body": data.layout.paths is not None,
        "notes": [*_NOTES, *_left_out(data), INTERVALS_HOLD[truth]],
    }


def _left_out(data: TrainingData) -> list[str]:
    """Say where paths over third atoms are left out unasked."""
    asked = data.settings.three_body is not None
    if asked or not data.equations or data.layout.paths is not None:
        return []
    n_elements = len(data.elements)
    return [f"paths over third atoms left out (three_body): too many for {n_elements} elements"]


def _trained(
    name: str, data: TrainingData, model: RandomForestForceConstants, card: dict[str, Any]
) -> TrainedModel:
    """Turn everything into plain numbers."""
    from screening.digest import digest_of
    from screening.random_forest.model import METHOD
    from screening.trained_model import TrainedModel

    keys = sorted(one.material_id for one in data.hessians)
    return TrainedModel(
        method=METHOD,
        name=name,
        elements=data.elements,
        arrays=model.arrays(),
        state=model.state(),
        card=card,
        training_set_digest=digest_of({"source": model.source, "materials": keys}),
        n_training_samples=len(keys),
    )
