"""What the linear model of the entropy is worth: clusters, defects, damage and unseen sizes.

References are exact: minima with analytic Hessians, stored in ``benchmarks/data``. Clusters are
split at random, defects by parent configuration: the same vacancies or interstitials in all
sizes of cell and at all strains are one parent. Damaged cells and the largest cells are in no
training set unless a figure says so. Beside each error stand its skill 1 - MAE/MAD and what
models without surroundings reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from entropy_learning import (
    ARGON,
    IRON,
    LENNARD_JONES,
    LENNARD_JONES_CUTOFF,
    Crystal,
    Pool,
    Tested,
    labels_of,
    linear_in_energy,
    near_saddle,
    predict_labels,
)
from numpy.typing import NDArray
from report import Figure

from screening.linear_entropy.labels import SpectralLabel
from screening.linear_entropy.settings import LinearEntropySettings
from screening.linear_entropy.training import train_entropy

__all__ = ["cluster_figures", "crystal_figures", "entropy_figures"]

Progress = Callable[[str], None]

N_SPLITS, N_QUICK_SPLITS = 5, 1
N_QUICK_DEFECTS = 100
PAPER = {
    "AFS, 1024 atoms, MEAM iron": 0.3,
    "strains of -1 to 3 %, one weight vector": 0.4,
    "defects and random damage together": 0.8,
    "trained on defects, tested on random damage": 1.53,
}
"""Root mean square errors of Lapointe et al. (2020) in k_B."""


def entropy_figures(
    data: Path, quick: bool, progress: Progress
) -> tuple[list[Figure], dict[str, Any]]:
    """Measure clusters and crystals.

    Parameters
    ----------
    data
        Not used: the references lie in the repository.
    quick
        One split, and 100 defects of the Lennard-Jones crystal alone.
    progress
        Told what was done.
    """
    del data
    figures, details = cluster_figures(N_QUICK_SPLITS if quick else N_SPLITS, progress)
    for crystal in (LENNARD_JONES,) if quick else (LENNARD_JONES, IRON):
        found, behind = crystal_figures(crystal, quick=quick, progress=progress)
        figures += found
        details[crystal.name] = behind
    details["paper_rmse_boltzmann"] = PAPER
    figures += [Figure(f"paper: {name}: RMSE", value, "k_B") for name, value in PAPER.items()]
    return figures, details


def cluster_figures(n_splits: int, progress: Progress) -> tuple[list[Figure], dict[str, Any]]:
    """Learn minima of clusters from 270, 350 and 630 of them."""
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    for set_name, n_training, site_resolved, required in (
        ("lj13", 270, False, None),
        ("lj13", 270, True, None),
        ("lj38", 350, False, None),
        ("lj38", 350, True, None),
        ("lj38", 630, False, "<= 0.5"),
        ("lj38", 630, True, "<= 0.5"),
    ):
        labels = labels_of(set_name, ARGON)
        splits = [
            _cluster_split(labels, n_training, seed, site_resolved=site_resolved)
            for seed in range(n_splits)
        ]
        name = f"{set_name.upper()}, {n_training} minima, {FROM[site_resolved]}"
        means = {key: float(np.mean([one[key] for one in splits])) for key in SPLIT_SCORES}
        figures += _cluster_figures(name, means, required)
        details[name] = splits
        progress(f"{name}: RMSE {means['rmse']:.3f} k_B")
    return figures, details


FROM = {False: "sums alone", True: "shares of atoms"}
"""What is learned from: entropies of whole systems as in the paper, or those of atoms too."""
PRIMARY = f"held out by parent, {FROM[True]}"
SPLIT_SCORES = (
    "rmse", "mae", "skill", "covered_or_refused", "native", "refused", "rmse_linear_in_energy",
    "skill_linear_in_energy", "rmse_mean", "ms_per_structure",
)  # fmt: skip


def _cluster_figures(name: str, means: dict[str, float], required: str | None) -> list[Figure]:
    return [
        Figure(f"{name}: RMSE", means["rmse"], "k_B", required),
        Figure("  MAE", means["mae"], "k_B"),
        Figure("  skill 1 - MAE/MAD", means["skill"], ""),
        Figure("  RMSE of S linear in energy", means["rmse_linear_in_energy"], "k_B"),
        Figure("  its skill", means["skill_linear_in_energy"], ""),
        Figure("  RMSE of the mean", means["rmse_mean"], "k_B"),
        Figure(
            "  within calibrated 90 % intervals, or refused",
            means["covered_or_refused"],
            "",
            ">= 0.85",
        ),
        Figure("  refused as novel", means["refused"], ""),
        Figure("  within 90 % of the regression itself", means["native"], ""),
        Figure("  a prediction", means["ms_per_structure"], "ms", "< 10"),
    ]


def _cluster_split(
    labels: Sequence[SpectralLabel], n_training: int, seed: int, *, site_resolved: bool
) -> dict[str, Any]:
    """Train on some minima at random, test on the others."""
    order = np.random.default_rng(seed).permutation(len(labels))
    training = [labels[k] for k in order[:n_training]]
    chosen = {"cutoff_angstrom": LENNARD_JONES_CUTOFF}
    settings = LinearEntropySettings(
        descriptor_settings=chosen, seed=seed, site_resolved=site_resolved
    )
    trained = train_entropy(training, settings, "clusters")
    tested = predict_labels(trained, [labels[k] for k in order[n_training:]])
    return {"seed": seed, **tested.scores(), **linear_in_energy(training, tested), **tested.pairs()}


def crystal_figures(
    crystal: Crystal, *, quick: bool, progress: Progress
) -> tuple[list[Figure], dict[str, Any]]:
    """Learn defects of a crystal, and go to sizes and damage that the training has not seen."""
    main = Pool(labels_of(crystal.main, crystal.number))
    if quick:
        main = main.first(N_QUICK_DEFECTS)
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    for name, one in _tests(crystal, main, quick=quick):
        scores = one.scores()
        required = "<= 0.3" if name == PRIMARY and not quick else None
        figures += _figures(f"{crystal.name}, {name}", scores, required)
        if name == PRIMARY:
            figures += _class_figures(main.excess_atoms(one), one)
            excluded = near_saddle(crystal.main)
            figures += _calm_figures(main.excess_atoms(one), one, excluded, required)
            figures += _baseline_figures(main.linear_in_formation_energy(one), scores)
        details[name] = scores | {"families": one.by_family()} | one.pairs()
        progress(f"{crystal.name}, {name}: RMSE {scores['rmse']:.3f} k_B")
    return figures, details


def _tests(crystal: Crystal, main: Pool, *, quick: bool) -> Iterator[tuple[str, Tested]]:
    """Test on all that there is, also on minima next to a saddle point."""
    ours, paper = crystal.settings(), crystal.settings(site_resolved=False)
    yield f"held out by parent, {FROM[False]}", main.held_out(paper)
    yield PRIMARY, main.held_out(ours)
    if quick:
        return
    several = Pool(
        [x for name in (crystal.main, crystal.small, crystal.strained)
         for x in labels_of(name, crystal.number)]
    )  # fmt: skip
    large = Pool(labels_of(crystal.large, crystal.number))
    damaged = Pool(labels_of(crystal.damaged, crystal.number))
    yield "two sizes and strains, held out by parent", several.held_out(ours)
    yield f"unseen size, trained on one, {FROM[False]}", large.predicted(main.trained(paper))
    by_atoms = several.trained(ours)
    yield "unseen size, trained on two and strains", large.predicted(by_atoms)
    yield f"damaged, trained on defects, {FROM[False]}", damaged.predicted(several.trained(paper))
    yield "damaged, trained on defects", damaged.predicted(by_atoms)
    yield "damaged, half of it in the training", several.with_half(damaged, ours)


def _figures(name: str, scores: dict[str, float], required: str | None) -> list[Figure]:
    """Errors, and how often intervals hold; what the paper's way gives is only shown."""
    bound = None if FROM[False] in name else ">= 0.85"
    return [
        Figure(f"{name}: RMSE", scores["rmse"], "k_B", required),
        Figure("  MAE", scores["mae"], "k_B"),
        Figure("  structures", scores["count"], ""),
        Figure("  bias", scores["bias"], "k_B"),
        Figure("  skill 1 - MAE/MAD", scores["skill"], ""),
        Figure(
            "  within calibrated 90 % intervals, or refused",
            scores["covered_or_refused"],
            "",
            bound,
        ),
        Figure("  refused as novel", scores["refused"], ""),
        Figure("  within them, of those not refused", scores["covered_of_kept"], ""),
        Figure("  within 90 % of the regression itself", scores["native"], ""),
    ]


def _class_figures(excess: NDArray[np.int64], tested: Tested) -> list[Figure]:
    """Errors of vacancies and of interstitials by themselves."""
    figures = []
    for name, mine in (("vacancies", excess < 0), ("interstitials", excess > 0)):
        if mine.any():
            scores = tested.some(mine).scores()
            figures += [
                Figure(f"  {name}: RMSE", scores["rmse"], "k_B"),
                Figure("    structures", scores["count"], ""),
                Figure("    skill 1 - MAE/MAD", scores["skill"], ""),
            ]
    return figures


def _calm_figures(
    excess: NDArray[np.int64], tested: Tested, excluded: frozenset[str], required: str | None
) -> list[Figure]:
    """Errors without the minima next to a saddle point; these were learned from all the same."""
    calm = np.array([one.material_id not in excluded for one in tested.labels])
    scores = tested.some(calm).scores()
    figures = [
        Figure("  without minima next to a saddle point: RMSE", scores["rmse"], "k_B", required),
        Figure("    structures", scores["count"], ""),
    ]
    mine = calm & (excess > 0)
    if mine.any():
        rmse = tested.some(mine).scores()["rmse"]
        figures.append(Figure("    interstitials: RMSE", rmse, "k_B"))
    return figures


def _baseline_figures(line: dict[str, float], scores: dict[str, float]) -> list[Figure]:
    return [
        Figure("  RMSE of the mean", scores["rmse_mean"], "k_B"),
        Figure("  RMSE of S linear in energy and atoms", line["rmse_linear"], "k_B"),
        Figure("  its skill", line["skill_linear"], ""),
    ]
