"""How far a prediction can be trusted: calibrated intervals, domain check, risk control."""

from screening.uncertainty.interval import Interval

__all__ = ["Interval"]
