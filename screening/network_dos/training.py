"""Training of an ensemble: members, intervals, domain and card, in steps that can be resumed.

Some compositions are set aside first: no member sees them, scores and intervals come from them.
Every member then holds out other compositions of the rest to know when to stop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.digest import digest_of
from screening.errors import ElementNotInModelError, ModelRefusedError, TrainingSetError
from screening.network_dos.calibration import calibrate, check_stable
from screening.network_dos.card import HeldOut, model_card
from screening.network_dos.domain import fit_domain
from screening.network_dos.estimates import Truth, estimates_of, truth_of
from screening.network_dos.fitting import MemberTraining, Sample
from screening.network_dos.graphs import GraphBuilder, element_features
from screening.network_dos.labels import DosLabel, check_labels, labels_digest
from screening.network_dos.model import DOS_NETWORK, Ensemble
from screening.network_dos.settings import DosNetworkSettings
from screening.network_dos.splitting import Split, split_labels
from screening.network_potential.checkpoint import Checkpoint, CheckpointFile
from screening.network_potential.devices import chosen_device
from screening.prediction import FloatArray
from screening.trained_model import TrainedModel

__all__ = ["train_density_of_states"]

Progress = Callable[[str, int, int], None]
Arrays = dict[str, NDArray[Any]]

_KEEP_EVERY = 5  # passes


def train_density_of_states(
    labels: Sequence[DosLabel],
    settings: DosNetworkSettings,
    name: str,
    progress: Progress | None = None,
    checkpoint: CheckpointFile | None = None,
) -> TrainedModel:
    """Train an ensemble of networks, and calibrate it on compositions that no member saw.

    Parameters
    ----------
    labels
        Densities of states on the grid of the settings.
    settings
        Architecture, training and calibration.
    name
        Name of the model.
    progress
        Called with a stage, how much of it is done, and how much there is.
    checkpoint
        Where to keep the state after every few passes; a training that finds its own state there
        goes on from it, and ends with the same numbers as one that was never stopped.

    Returns
    -------
    TrainedModel
        With its calibration and domain, and a card of scores beside all baselines.

    Raises
    ------
    TrainingSetError
        If there are too few compositions or stable crystals, two labels of one name, or one that
        does not fit on the grid; if densities of states from a potential are missing.
    ElementNotInModelError
        If there are no features of an element.
    TrainingDivergedError
        If the loss is no longer a number; the checkpoint keeps the last good state.
    ModelRefusedError, ModelCorruptError
        If the checkpoint is of another training, or damaged.
    TooLargeError
        If one crystal does not fit into the memory.
    """
    started = time.monotonic()
    check_labels(labels, settings.grid)
    _check_priors(labels, settings)
    _check_elements(labels)
    ordered = sorted(labels, key=lambda one: one.material_id)
    split = split_labels(ordered, settings)
    set_aside = set(split.calibration)
    learned = [one for one in ordered if one.group not in set_aside]
    unseen = [one for one in ordered if one.group in set_aside]
    truth = truth_of(unseen, settings.grid)
    check_stable(truth, [one.group for one in unseen], settings.alpha)  # before all the work
    members = _Members(learned, split, settings, labels_digest(ordered), progress, checkpoint)
    weights = members.train()
    ensemble = Ensemble(settings, weights, element_features())
    held_out = _held_out(ensemble, unseen, truth, settings)
    calibration = calibrate(held_out.estimates, held_out.truth, held_out.groups, settings.alpha)
    seen = ensemble.predict([one.structure for one in learned], _priors(learned))
    domain = fit_domain(
        seen.latent, held_out.predicted.latent, held_out.predicted.histograms, held_out.groups
    )
    elements = tuple(sorted({int(site.specie.Z) for one in learned for site in one.structure}))
    arrays: Arrays = {"element_features": element_features()[list(elements)], **domain.arrays()}
    for number, one in enumerate(weights):
        arrays |= {f"member/{number}/{key}": value for key, value in one.items()}
    return TrainedModel(
        method=DOS_NETWORK,
        name=name,
        elements=elements,
        arrays=arrays,
        state={
            "settings": settings.as_dict(),
            "calibration": calibration.as_dict(),
            "domain": domain.as_dict(),
        },
        card={
            **model_card(learned, held_out, split, settings),
            "history": members.histories,
            "wall_seconds": round(time.monotonic() - started, 1),
        },
        training_set_digest=labels_digest(ordered),
        n_training_samples=len(ordered),
    )


def _check_priors(labels: Sequence[DosLabel], settings: DosNetworkSettings) -> None:
    wanted = settings.architecture.with_prior
    if any((one.prior is not None) != wanted for one in labels):
        given = "without" if wanted else "with"
        raise TrainingSetError(
            f"labels {given} a density of states from a potential",
            subject="with_prior",
            hint="Compute it for all labels and set with_prior, or neither",
        )


def _check_elements(labels: Sequence[DosLabel]) -> None:
    heaviest = len(element_features()) - 1
    for label in labels:
        kinds = {site.specie.symbol for site in label.structure if heaviest < site.specie.Z}
        if kinds:
            raise ElementNotInModelError(
                f"there are no features of {', '.join(sorted(kinds))}",
                subject=label.material_id,
                hint="Leave it out of the training set",
            )


def _priors(labels: Sequence[DosLabel]) -> FloatArray | None:
    found = [one.prior for one in labels if one.prior is not None]
    return np.array(found) if found else None


def _held_out(
    ensemble: Ensemble, labels: Sequence[DosLabel], truth: Truth, settings: DosNetworkSettings
) -> HeldOut:
    structures = [one.structure for one in labels]
    predicted = ensemble.predict(structures, _priors(labels))
    estimates = estimates_of(predicted.histograms, structures, settings.grid)
    return HeldOut(labels, predicted, estimates, truth)


class _Members:
    """The members while they are trained, one after the other."""

    def __init__(
        self,
        learned: Sequence[DosLabel],
        split: Split,
        settings: DosNetworkSettings,
        digest: str,
        progress: Progress | None,
        checkpoint: CheckpointFile | None,
    ) -> None:
        self._split, self._settings = split, settings
        self._progress, self._checkpoint = progress, checkpoint
        self._key = digest_of({"labels": digest, "settings": settings.as_dict()})
        self._device = chosen_device(settings.device)
        self._groups = [one.group for one in learned]
        self._samples = self._made(learned)
        self._finished: list[Arrays] = []
        self.histories: list[dict[str, Any]] = []

    def _made(self, labels: Sequence[DosLabel]) -> list[Sample]:
        own = self._settings.architecture
        builder = GraphBuilder(own.bond_cutoff_angstrom, own.angle_cutoff_angstrom)
        return [Sample(builder.graph(one.structure), one.histogram, one.prior) for one in labels]

    def train(self) -> list[Arrays]:
        """Return the best weights of each member."""
        saved = self._saved()
        if saved is not None:
            self._take_finished(saved)
        for number in range(len(self._finished), self._settings.n_members):
            training = self._member(number)
            if saved is not None and saved.header["current"] is not None:
                training.restore(Checkpoint(saved.header["current"], _below(saved, "current/")))
            saved = None
            self._run(training, number)
        return self._finished

    def _member(self, number: int) -> MemberTraining:
        watched = self._split.watched(number)
        pairs = list(zip(self._samples, self._groups, strict=True))
        return MemberTraining(
            [one for one, group in pairs if group not in watched],
            [one for one, group in pairs if group in watched],
            self._settings,
            element_features(),
            self._settings.seed + number,
            self._device,
        )

    def _run(self, training: MemberTraining, number: int) -> None:
        settings = self._settings
        stage = f"member {number + 1} of {settings.n_members}"
        while not training.is_done:
            training.run_epoch()
            if self._progress is not None:
                self._progress(stage, training.epoch, settings.epochs)
            if training.epoch % _KEEP_EVERY == 0:
                self._keep(training)
        self._finished.append(training.best_arrays)
        self.histories.append(
            {
                "best_epoch": training.best_epoch,
                "loss_and_watched_loss": [list(one) for one in training.history],
            }
        )
        self._keep(None)

    def _keep(self, training: MemberTraining | None) -> None:
        if self._checkpoint is None:
            return
        arrays: Arrays = {}
        for number, one in enumerate(self._finished):
            arrays |= {f"finished/{number}/{name}": value for name, value in one.items()}
        header: dict[str, Any] = {"key": self._key, "finished": self.histories, "current": None}
        if training is not None:
            current = training.checkpoint()
            header["current"] = dict(current.header)
            arrays |= {f"current/{name}": value for name, value in current.arrays.items()}
        self._checkpoint.write(Checkpoint(header, arrays))

    def _saved(self) -> Checkpoint | None:
        saved = None if self._checkpoint is None else self._checkpoint.read()
        if saved is not None and saved.header.get("key") != self._key:
            assert self._checkpoint is not None
            raise ModelRefusedError(
                "a checkpoint of other settings or of another training set",
                subject=str(self._checkpoint.path),
                hint="Give another file, or go on with what it was begun with",
            )
        return saved

    def _take_finished(self, saved: Checkpoint) -> None:
        self.histories = [dict(one) for one in saved.header["finished"]]
        self._finished = [
            _below(saved, f"finished/{number}/") for number in range(len(self.histories))
        ]


def _below(saved: Checkpoint, start: str) -> Arrays:
    """Arrays whose names begin with a text, without it."""
    names = [name for name in saved.arrays if name.startswith(start)]
    return {name.removeprefix(start): np.asarray(saved.arrays[name]) for name in names}
