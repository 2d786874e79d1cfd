"""From stored rankings to what a picture shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from flows.plots.ranking import ExcludedPhase, PhaseCurve, RankingView
from screening.prediction import frozen_array

__all__ = ["ranking_view"]

STABLE_WORDS = "stable"
TIE_MEV_PER_ATOM = 10.0


def ranking_view(
    document: Mapping[str, Any],
    *,
    model: str = "",
    experiments: Mapping[str, str] | None = None,
    tie_mev_per_atom: float = TIE_MEV_PER_ATOM,
) -> RankingView:
    """Choose from a document of the ``polymorphs`` collection what a picture shows.

    Phases are named by their labels without what stands in brackets, by their space groups
    where there is no label, and with the end of their key where two would have one name.

    Parameters
    ----------
    document
        One ranking.
    model
        Name of the potential or model, for the title; where empty, the title says where the
        static energies come from.
    experiments
        What experiment says of each phase, by ``material_id``; of the notes that begin with
        "stable" the first clause is shown.
    tie_mev_per_atom
        Tie of the ranking's settings, meV/atom.
    """
    names = _names([*document["polymorphs"], *document["excluded"]])
    return RankingView(
        formula=document["formula_reduced"],
        model=model or _energies_text(document["energy_source"]),
        temperatures_k=frozen_array(document["temperatures_k"]),
        phases=tuple(_phase(one, names) for one in document["polymorphs"]),
        tie_mev_per_atom=tie_mev_per_atom,
        transitions=tuple(
            (one["temperature_k"], names[one["below_id"]], names[one["above_id"]])
            for one in document["crossings"]
            if one["between_lowest"] and one["comparable"]
        ),
        excluded=tuple(
            ExcludedPhase(names[one["material_id"]], one["space_group_symbol"], one["detail"])
            for one in document["excluded"]
        ),
        experiment=_stable_phases(names, experiments or {}),
    )


def _energies_text(source: str | None) -> str:
    return f"static energies: {source}" if source else ""


def _phase(one: Mapping[str, Any], names: Mapping[str, str]) -> PhaseCurve:
    return PhaseCurve(
        label=names[one["material_id"]],
        space_group_symbol=one["space_group_symbol"],
        relative_free_energy_mev_per_atom=frozen_array(one["relative_free_energy_mev_per_atom"]),
        # the spread of each phase alone says nothing of differences: members err together
        standard_deviation_mev_per_atom=None,
    )


def _names(phases: list[Mapping[str, Any]]) -> dict[str, str]:
    """Short name of every phase, no two alike."""
    short = {
        one["material_id"]: (one["label"] or one["space_group_symbol"]).split(" (")[0]
        for one in phases
    }
    often = Counter(short.values())
    return {key: name if often[name] == 1 else f"{name} …{key[-4:]}" for key, name in short.items()}


def _stable_phases(names: Mapping[str, str], experiments: Mapping[str, str]) -> str:
    """Say which phases experiment calls stable, and where."""
    found = []
    for key, name in names.items():
        clause = experiments.get(key, "").split(";")[0].split(" (")[0].strip()
        if clause.startswith(STABLE_WORDS):
            where = clause.removeprefix(STABLE_WORDS).replace(" form at", " at").strip()
            found.append(f"{name} {where}".strip())
    return "; ".join(found)
