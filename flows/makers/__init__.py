"""jobflow Makers: every parameter of the science is a field."""

from flows.makers.batch import ImportMaker, ScreenBatchMaker, ScreenMaker, SummaryMaker

__all__ = ["ImportMaker", "ScreenBatchMaker", "ScreenMaker", "SummaryMaker"]
