"""Displaced cells fitted with a squared exponential, on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flows.cli.gp_options import working
from flows.cli.output import out, print_json, print_paths
from screening.errors import SettingError

if TYPE_CHECKING:
    from screening.anharmonic import DisplacedCells

__all__ = ["RbfOptions", "fit_rbf", "is_rbf"]


@dataclass(frozen=True)
class RbfOptions:
    """What a fit with a squared exponential takes from the command line.

    Attributes
    ----------
    kernel, length_scale
        As they were written; no length scale means the default.
    order
        2 or 3.
    source
        Where the forces come from.
    temperatures_k
        In K.
    """

    kernel: str
    length_scale: str | None
    order: int
    source: str
    temperatures_k: tuple[float, ...]


def is_rbf(kernel: str, length_scale: str | None, unused: dict[str, object], database: str) -> bool:
    """Tell whether a squared exponential is asked for.

    Parameters
    ----------
    kernel, length_scale
        As they were written.
    unused
        Options that only the polynomial kernel has, by name, and what was given.
    database
        Where the user wants the result, empty for nowhere.

    Raises
    ------
    SettingError
        If an option does not go with the kernel.
    """
    from flows.kernels import Kernel, kernel_named

    if kernel_named(kernel) is Kernel.POLYNOMIAL:
        if length_scale is not None:
            raise SettingError(
                "force constants with symmetry have no length scale",
                subject="--length-scale",
                hint="Leave it out, or take --kernel symmetrised-rbf",
            )
        return False
    for name, value in unused.items():
        if value is not None:
            raise SettingError(
                f"the {kernel} kernel has no such thing",
                subject=name,
                hint="Leave it out, or take --kernel polynomial",
            )
    if database:
        broken = " and break the acoustic sum rule" if kernel == Kernel.RBF else ""
        raise SettingError(
            f"results of the {kernel} kernel have no intervals{broken}: they are not stored",
            subject="--db",
            hint="Leave it out and write files with --out, or take --kernel polynomial",
        )
    return True


def fit_rbf(
    cells: DisplacedCells, options: RbfOptions, folder: Path | None, *, as_json: bool
) -> None:
    """Fit, write and print.

    Parameters
    ----------
    cells
        With forces.
    options
        How.
    folder
        Where files go; None writes none.
    as_json
        Whether to print JSON.
    """
    from flows import tables
    from flows.kernels import fit_kernel, kernel_named, write_kernel_fit

    with working("fitting"):
        fit = fit_kernel(
            cells,
            kernel_named(options.kernel),
            options.temperatures_k,
            length_scale=options.length_scale or "scaled",
            max_order=options.order,
            source=options.source,
        )
    written = [] if folder is None else write_kernel_fit(fit, folder)
    if as_json:
        print_json(tables.payload_kernel_fit(fit, written))
        return
    out.print(tables.table_kernel_fit(fit, width=out.width))
    print_paths(written)
