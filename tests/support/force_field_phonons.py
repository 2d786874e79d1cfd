"""atomate2's phonon flow with a force field where VASP would be: the same jobs and documents."""
# ruff: noqa: ARG002 - the arguments are those of the maker it stands for

from dataclasses import dataclass

from flows.makers.vasp import VaspPhononMaker

EMT = {"@module": "ase.calculators.emt", "@callable": "EMT"}
BREAKS_IN_SUPERCELLS = {"@module": "force_field_phonons", "@callable": "breaks_in_supercells"}
LARGEST_CELL = 4


@dataclass
class ForceFieldPhononMaker(VaspPhononMaker):
    """The maker with atomate2's force-field jobs inside."""

    check_environment: bool = False
    force_field: dict | None = None

    def relax_maker(self, structure):
        from atomate2.forcefields.jobs import ForceFieldRelaxMaker

        return ForceFieldRelaxMaker(
            force_field_name=self.force_field or EMT, relax_kwargs={"fmax": 1e-5}
        )

    def static_maker(self, structure):
        from atomate2.forcefields.jobs import ForceFieldStaticMaker

        return ForceFieldStaticMaker(force_field_name=self.force_field or EMT)

    def phonon_maker(self, structure, supercell, *, born):
        from atomate2.forcefields.flows.phonons import PhononMaker

        return PhononMaker(
            **self.shared_options(),
            born_maker=None,
            phonon_displacement_maker=self.static_maker(structure),
        )

    def relaxation_steps(self, output):
        return output.output.ionic_steps

    def band_gap(self, output):
        return None


def breaks_in_supercells():
    from ase.calculators import emt

    class Breaks(emt.EMT):
        def calculate(self, atoms=None, *arguments, **options):
            if len(atoms) > LARGEST_CELL:
                raise RuntimeError("no memory for so many atoms")
            super().calculate(atoms, *arguments, **options)

    return Breaks()
