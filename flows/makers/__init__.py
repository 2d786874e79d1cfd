"""jobflow Makers: every parameter of the science is a field."""

from flows.makers.batch import ImportMaker, ScreenBatchMaker, ScreenMaker, SummaryMaker
from flows.makers.dft import DftPhononMaker
from flows.makers.gaussian_process import GaussianProcessMaker
from flows.makers.labelling import LabelBatchMaker, LabelMaker, TrainPotentialMaker
from flows.makers.routing import RoutedScreenMaker
from flows.makers.trained import PredictMaker, RandomSearchMaker, TrainMaker
from flows.makers.vasp import VaspPhononMaker

__all__ = [
    "DftPhononMaker",
    "GaussianProcessMaker",
    "ImportMaker",
    "LabelBatchMaker",
    "LabelMaker",
    "PredictMaker",
    "RandomSearchMaker",
    "RoutedScreenMaker",
    "ScreenBatchMaker",
    "ScreenMaker",
    "SummaryMaker",
    "TrainMaker",
    "TrainPotentialMaker",
    "VaspPhononMaker",
]
