"""Jobs and a Maker that the tests launch; workers import them by this module's name."""

from dataclasses import dataclass, field

from jobflow import Flow, Maker, Response, job

from flows.makers import ScreenBatchMaker, SummaryMaker
from flows.resources import Resource, tagged
from stores.connect import open_database


@job
def escalate(database_uri, material_ids, calculator, settings, after):
    """Replace itself by a better method for what the first one could not do."""
    del after
    with open_database(database_uri) as database:
        rows = list(database.failures.query({}, ["material_id"]))
    failed = [row["material_id"] for row in rows if row["material_id"] in material_ids]
    maker = ScreenBatchMaker("fall back", calculator, settings)
    fallback = tagged(maker.make(database_uri, failed), Resource.DFT)
    return Response(replace=Flow([fallback], output=fallback.output))


@job
def fail(after):
    """Fail as a job does, not as a material."""
    raise RuntimeError(f"no luck after {after}")


@dataclass
class EscalatingMaker(Maker):
    """Screen with one potential, then with another what failed; on the side, a job fails."""

    name: str = "screen and escalate"
    batch_maker: ScreenBatchMaker = field(default_factory=ScreenBatchMaker)
    fallback: str = "ase.calculators.emt.EMT"

    def make(self, database_uri, material_ids):
        batch = self.batch_maker.make(database_uri, material_ids)
        better = escalate(
            database_uri, material_ids, self.fallback, self.batch_maker.settings, batch.output
        )
        unlucky = fail(batch.output)
        summary = SummaryMaker().make(
            database_uri, material_ids, after=[better.output, unlucky.output]
        )
        return Flow([batch, better, unlucky, summary], output=summary.output, name=self.name)
