"""Results out: phonopy yaml, emmet and phononwebsite JSON, tables, extended xyz.

What may live here: conversions of frozen results and documents to formats of others, and
the writing of their files. Nothing here queries a database.
"""

from __future__ import annotations

from stores.exporters.emmet import emmet_document, write_emmet_json
from stores.exporters.extxyz import (
    displaced_supercells,
    extxyz_text,
    labelled_structure,
    write_displaced_supercells,
    write_structures,
)
from stores.exporters.files import atomic_path, write_json, write_text
from stores.exporters.phono3py_files import phono3py_yaml, write_phono3py
from stores.exporters.phonon_website import (
    path_eigenvectors,
    phononwebsite_document,
    write_phononwebsite,
)
from stores.exporters.phonopy_yaml import (
    fitted_phonopy_yaml,
    phonopy_yaml,
    write_phonopy_yaml,
)
from stores.exporters.tables import csv_text, flat_rows, write_table

__all__ = [
    "atomic_path",
    "csv_text",
    "displaced_supercells",
    "emmet_document",
    "extxyz_text",
    "fitted_phonopy_yaml",
    "flat_rows",
    "labelled_structure",
    "path_eigenvectors",
    "phono3py_yaml",
    "phononwebsite_document",
    "phonopy_yaml",
    "write_displaced_supercells",
    "write_emmet_json",
    "write_json",
    "write_phono3py",
    "write_phononwebsite",
    "write_phonopy_yaml",
    "write_structures",
    "write_table",
    "write_text",
]
