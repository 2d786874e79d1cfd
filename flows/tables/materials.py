"""Tables of single materials: a query's result, everything of one material, failures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from flows.tables.cells import (
    MISSING,
    Column,
    at_temperature,
    make_table,
    name_of,
    number,
    reach,
    three_digits,
    verdict,
)
from flows.tables.trail import settings_line

__all__ = ["table_failures", "table_query", "table_show"]

_SHORT = 12  # hexadecimal digits that tell predictions apart

SHOWN_TEMPERATURES_K = (0.0, 100.0, 300.0, 600.0, 1000.0, 1500.0)

_QUERY_COLUMNS: tuple[Column, ...] = (
    Column("material"),
    Column("formula"),
    Column("phase", rank=4, wraps=True),
    Column("space group", rank=3),
    Column("verdict", rank=1),
    Column("lowest\nTHz", rank=2, is_number=True),
    Column("F 300 K\nmeV/atom", is_number=True),
    Column("S 300 K\nmeV/K/atom", rank=6, is_number=True),
    Column("C_V 300 K\nmeV/K/atom", rank=8, is_number=True),
    Column("F 1000 K\nmeV/atom", rank=5, is_number=True),
    Column("E_static\neV/atom", rank=7, is_number=True),
    Column("model", rank=9, wraps=True),
)

_ZONE_CENTRE_SUMS = (
    "modes of the zone centre of this cell alone",
    "the model was trained on modes of the zone centre alone",
)
"""How warnings begin of what sums up the modes of the zone centre. Forces of a single small cell
know these alone too, but are interpolated to all wave vectors."""

_INTERVAL_COLUMN = Column("interval\nmeV/atom", rank=2)
_INTERVAL_PLACE = 7  # behind the free energy that it is the interval of


def table_query(
    documents: Iterable[Mapping[str, Any]], *, width: int | None = None, title: str = ""
) -> Table:
    """Make a table of documents of the ``vibrational`` collection.

    Free energies of vibration are marked with ``*`` where the thermodynamics are not valid
    for comparison, with ``Γ`` where they are sums over the modes of the zone centre alone. Models
    are named in any terminal where there are several.
    """
    found = list(documents)
    said = [
        "*: not valid for comparison, too many modes are low or imaginary"
        * any(not one["thermodynamics_valid"] for one in found),
        "Γ: of the modes of the zone centre alone, other sums than those over all wave vectors"
        * any(map(_is_of_zone_centre, found)),
    ]
    several = len({one["model"] for one in found}) > 1
    columns = (*_QUERY_COLUMNS[:-1], replace(_QUERY_COLUMNS[-1], rank=0 if several else 9))
    rows = [_query_row(one) for one in found]
    if any(_interval(one) for one in found):  # few methods have one
        columns = (*columns[:_INTERVAL_PLACE], _INTERVAL_COLUMN, *columns[_INTERVAL_PLACE:])
        for row, one in zip(rows, found, strict=True):
            row.insert(_INTERVAL_PLACE, _interval(one) or MISSING)
    return make_table(
        columns,
        rows,
        width=width,
        title=title,
        caption="\n".join(filter(None, said)),
        tells_hidden=True,
    )


def table_failures(
    documents: Iterable[Mapping[str, Any]], *, width: int | None = None, title: str = ""
) -> Table:
    """Make a table of documents of the ``failures`` collection."""
    columns = (
        Column("subject", wraps=True),
        Column("stage", rank=2),
        Column("code"),
        Column("what is wrong", wraps=True),
        Column("next step", rank=1, wraps=True),
        Column("tried", rank=3, is_number=True),
    )
    rows = [
        [
            one["subject"],
            one["stage"],
            Text(one["code"], style="red"),
            one["message"],
            one["next_step"] or "",
            str(one["attempts"]),
        ]
        for one in documents
    ]
    return make_table(columns, rows, width=width, title=title)


def table_show(
    structure: Mapping[str, Any],
    *,
    summary: Mapping[str, Any] | None = None,
    prediction: Mapping[str, Any] | None = None,
    failures: Sequence[Mapping[str, Any]] = (),
    width: int | None = None,
) -> Group:
    """Make everything that is known of one material.

    Parameters
    ----------
    structure
        Document of the ``structures`` collection.
    summary, prediction
        Documents of ``vibrational`` and ``predictions``, where the material was predicted.
    failures
        Its documents of ``failures``.
    width
        Characters of the terminal.
    """
    facts = _structure_facts(structure) + (_summary_facts(summary) if summary else [])
    parts: list[Table | Text] = [_facts(facts)]
    if prediction is not None:
        parts.append(_curves(prediction["thermodynamics"], prediction["spread"]))
        if prediction.get("spectral_properties"):
            parts.append(_facts(_spectral_facts(prediction["spectral_properties"])))
        if prediction["thermal_conductivity"]:
            parts.extend(_conductivity(prediction["thermal_conductivity"]))
        if prediction.get("model_settings"):
            line = settings_line(prediction["provenance"]["model"], prediction["model_settings"])
            parts.append(Text(line, style="dim"))
        parts.extend(Text(f"! {line}", style="yellow") for line in prediction["warnings"])
    if summary is None and not failures:
        parts.append(Text("not predicted yet", style="yellow"))
    if failures:
        parts.append(table_failures(failures, width=width, title="failures"))
    return Group(*parts)


def _interval(one: Mapping[str, Any]) -> str:
    """Write the interval of the free energy at 300 K; empty where there is none."""
    lower, upper = (one[f"free_energy_300k_{end}_mev_per_atom"] for end in ("lower", "upper"))
    return "" if lower is None or upper is None else reach(lower, upper, 1)


def _is_of_zone_centre(one: Mapping[str, Any]) -> bool:
    return any(line.startswith(_ZONE_CENTRE_SUMS) for line in one["warnings"])


def _query_row(one: Mapping[str, Any]) -> list[Text | str]:
    mark = " " if one["thermodynamics_valid"] else "*"
    mark += "Γ" if _is_of_zone_centre(one) else " "
    return [
        one["material_id"],
        one["formula_reduced"],
        one["label"] or "",
        one["space_group_symbol"],
        verdict(one["verdict"]),
        number(one["lowest_frequency_thz"]),
        number(one["free_energy_300k_mev_per_atom"], 1) + mark,
        number(one["entropy_300k_mev_per_k_per_atom"], 4),
        number(one["heat_capacity_300k_mev_per_k_per_atom"], 4),
        number(one["free_energy_1000k_mev_per_atom"], 1) + mark,
        number(one["static_energy_ev_per_atom"], 4),
        one["model"],
    ]


def _facts(facts: Sequence[tuple[str, Text | str]]) -> Table:
    """Two columns without a frame."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(Text(name), value if isinstance(value, Text) else Text(value))
    return table


def _structure_facts(one: Mapping[str, Any]) -> list[tuple[str, Text | str]]:
    facts: list[tuple[str, Text | str]] = [
        ("material", Text(one["material_id"], style="cyan")),
        ("formula", one["formula_reduced"]),
        ("phase", name_of(one["label"], MISSING)),
        ("space group", f"{one['space_group_symbol']} ({one['space_group_number']})"),
        ("atoms", f"{one['n_atoms']}, {number(one['volume_angstrom3_per_atom'])} Å³ each"),
        ("sources", ", ".join(one["sources"])),
    ]
    if one["duplicate_of"]:
        facts.append(("duplicate of", one["duplicate_of"]))
    if one.get("parent_id"):  # documents of the first schema have no parent
        facts.append(("made from", f"{one['parent_id']}: {one['parent_relation']}"))
    facts += [
        ("leads to", f"{each['material_id']}: {each['relation']}")
        for each in one.get("repairs", ())
    ]
    if one["notes"]:
        facts.append(("notes", "; ".join(one["notes"])))
    return facts


def _summary_facts(one: Mapping[str, Any]) -> list[tuple[str, Text | str]]:
    spread = one["lowest_frequency_std_thz"]
    value = one["lowest_frequency_thz"]
    lowest = "not known" if value is None else f"{number(value)} THz"
    judged = verdict(one["verdict"])
    judged.append(f"  (criterion {one['criterion']}; lowest frequency {lowest}", style="default")
    judged.append(f" ± {number(spread)})" if spread is not None else ")", style="default")
    static = number(one["static_energy_ev_per_atom"], 4)
    source = one["static_energy_source"]
    facts: list[tuple[str, Text | str]] = [
        ("predicted by", f"{one['method']}, {one['model']} (tier {one['tier']})"),
        ("verdict", judged),
        ("static energy", f"{static} eV/atom ({source})" if source else MISSING),
        ("zero-point energy", f"{number(one['zero_point_energy_mev_per_atom'], 1)} meV/atom"),
    ]
    if _interval(one):
        value = number(one["free_energy_300k_mev_per_atom"], 1)
        facts.append(("F at 300 K", f"{value} meV/atom, interval {_interval(one)}"))
    if one["thermal_conductivity_300k_w_per_m_k"] is not None:
        facts.append(("thermal conductivity", _conductivity_fact(one)))
    if not one["thermodynamics_valid"]:
        share = 100 * one["dropped_weight"]
        reason = f"not valid for comparison: {share:.1f} % of the modes are low or imaginary"
        facts.append(("thermodynamics", Text(reason, style="yellow")))
    return facts


def _spectral_facts(one: Mapping[str, Any]) -> list[tuple[str, Text | str]]:
    """Numbers of a density of states, with their calibrated intervals."""
    ends = one["negative_fraction_ends"]
    share = f"{100 * one['negative_fraction']:.2f} %"
    share += "" if ends is None else f", interval {100 * ends[0]:.2f} to {100 * ends[1]:.2f} %"
    lowest, mean, highest = (
        number(one[f"{name}_frequency_thz"]) for name in ("lowest", "mean", "highest")
    )
    debye, cell = (number(one[f"{name}debye_temperature_k"], 0) for name in ("", "cell_"))
    facts: list[tuple[str, Text | str]] = [
        ("modes below zero", share),
        ("frequencies", f"{lowest} to {highest} THz, mean {mean} THz"),
        ("Debye temperature", f"{debye} K ({cell} K by the published formula)"),
    ]
    for label, name, unit in (
        ("isotope scattering", "isotope_rate{}_ghz", "1/ns"),
        ("published number", "isotope_number{}_ghz_thz", "GHz THz"),
    ):
        value, ends = one[name.format("")], one[name.format("_ends")]
        if value is not None:
            reach_of = "" if ends is None else f", interval {' to '.join(map(three_digits, ends))}"
            facts.append((label, f"{three_digits(value)} {unit}{reach_of}"))
    return facts


def _conductivity_fact(one: Mapping[str, Any]) -> str:
    """Conductivity at 300 K, and whose it is where another prediction has the other numbers."""
    value = three_digits(one["thermal_conductivity_300k_w_per_m_k"])
    std = one["thermal_conductivity_300k_std_w_per_m_k"]
    spread = "" if std is None else f" ± {three_digits(std)}"
    source = one["thermal_conductivity_prediction_id"]
    other = "" if source == one["prediction_id"] else f" (prediction {source[:_SHORT]})"
    return f"{value}{spread} W/m/K at 300 K{other}"


def _conductivity(record: Mapping[str, Any]) -> Iterable[Table | Text]:
    """Conductivity against temperature, averaged over directions, below what it is."""
    stds = record["conductivity_std_w_per_m_k"]
    columns = [Column("T\nK", is_number=True), Column("κ\nW/m/K", is_number=True)]
    columns += [Column("± std", is_number=True)] if stds else []
    curves = [record["conductivity_w_per_m_k"], *([stds] if stds else [])]
    rows = [
        [f"{temperature:g}", *(three_digits(value) for value in values)]
        for temperature, *values in zip(record["temperatures_k"], *curves, strict=True)
    ]
    solved = "relaxation times" if record["method"] == "rta" else "direct solution"
    yield Text(f"lattice thermal conductivity, {solved}", style="dim")
    yield make_table(columns, rows)


def _curves(thermodynamics: Mapping[str, Any], spread: Mapping[str, Any] | None) -> Table:
    """Free energy, entropy and heat capacity at a few temperatures of the grid."""
    grid = thermodynamics["temperatures_k"]
    columns = [Column("T\nK", is_number=True), Column("F\nmeV/atom", is_number=True)]
    columns += [Column("± std", is_number=True)] if spread else []
    columns += [
        Column("S\nmeV/K/atom", is_number=True),
        Column("C_V\nmeV/K/atom", is_number=True),
    ]
    curves = [(thermodynamics["free_energy_mev_per_atom"], 2)]
    curves += [(spread["free_energy_std_mev_per_atom"], 2)] if spread else []
    curves += [
        (thermodynamics["entropy_mev_per_k_per_atom"], 4),
        (thermodynamics["heat_capacity_mev_per_k_per_atom"], 4),
    ]
    shown = [t for t in SHOWN_TEMPERATURES_K if at_temperature(grid, grid, t) is not None]
    rows = [
        [
            f"{t:g}",
            *(number(at_temperature(grid, curve, t), digits) for curve, digits in curves),
        ]
        for t in shown
    ]
    return make_table(columns, rows)
