"""Structures and energies of the Materials Project, by its own client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from screening.errors import ServiceUnavailableError
from stores.importers.records import Block, Parsed

__all__ = ["fetch_materials_project"]

_FIELDS = ["material_id", "structure"]
_ENERGY_FIELDS = ["material_id", "uncorrected_energy_per_atom", "energy_type", "thermo_type"]
_THERMO_TYPE = "GGA_GGA+U"  # the summary mixes functionals, r2SCAN next to GGA


def fetch_materials_project(
    api_key: str, *, batch_size: int = 100, client: Any | None = None, **criteria: Any
) -> Iterator[Block]:
    """Ask the Materials Project, batch by batch, as far as the result is consumed.

    Parameters
    ----------
    api_key
        Key of a Materials Project account.
    batch_size
        Materials per request.
    client
        An ``MPRester``; made with the key where None.
    **criteria
        Criteria of ``MPRester.materials.summary.search``, such as ``formula="TiO2"`` or
        ``material_ids=["mp-149"]``.

    Yields
    ------
    Block
        Named by the material id, with the uncorrected GGA or GGA+U energy. Its source names
        database and functional, never the material: only energies of one source are compared.

    Raises
    ------
    ServiceUnavailableError
        If the client is not installed, or the service cannot be reached.
    """
    rester = client or _client(api_key)
    for ids in _batches(_ids(rester, api_key, criteria), batch_size):
        energies = _energies(rester, api_key, ids)
        for document in _search(
            rester.materials.summary, api_key, material_ids=ids, fields=_FIELDS
        ):
            name = str(document.material_id)
            energy, source = energies.get(name, (None, None))
            notes = (f"Materials Project {name}",)
            yield name, Parsed(document.structure, name, energy, source, notes=notes)


def _energies(rester: Any, api_key: str, ids: Sequence[str]) -> dict[str, tuple[float, str]]:
    """Uncorrected energy in eV/atom and its source by material, where the functional is known."""
    documents = _search(
        rester.materials.thermo,
        api_key,
        material_ids=list(ids),
        thermo_types=[_THERMO_TYPE],
        fields=_ENERGY_FIELDS,
    )
    found = {}
    for document in documents:
        energy, kind = document.uncorrected_energy_per_atom, document.energy_type
        if energy is not None and kind:
            functional = getattr(kind, "value", kind)
            source = f"Materials Project, uncorrected {functional}"
            found[str(document.material_id)] = (float(energy), source)
    return found


def _client(api_key: str) -> Any:
    try:
        from mp_api.client import MPRester
    except ImportError as error:
        raise ServiceUnavailableError(
            "the Materials Project client is not installed",
            hint="Install phonoscreen with its extra 'materials-project'",
        ) from error
    try:
        return MPRester(api_key, use_document_model=True, mute_progress_bars=True)
    except Exception as error:
        raise _unavailable(error, api_key) from error


def _ids(rester: Any, api_key: str, criteria: dict[str, Any]) -> list[str]:
    documents = _search(rester.materials.summary, api_key, fields=["material_id"], **criteria)
    return sorted(str(document.material_id) for document in documents)


def _batches(ids: Sequence[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(ids), size):
        yield list(ids[start : start + size])


def _search(endpoint: Any, api_key: str, **criteria: Any) -> list[Any]:
    try:
        return list(endpoint.search(**criteria))
    except Exception as error:
        raise _unavailable(error, api_key) from error


def _unavailable(error: Exception, api_key: str) -> ServiceUnavailableError:
    """Error without the key in its text."""
    reason = str(error).replace(api_key, "***") if api_key else str(error)
    return ServiceUnavailableError(
        f"the Materials Project cannot be asked: {type(error).__name__}: {reason[:300]}",
        hint="Check the network and the key, or import files",
    )
