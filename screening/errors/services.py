"""What is beyond this machine and cannot be reached or used."""

from __future__ import annotations

from screening.errors.base import ScreeningError

__all__ = ["EngineUnavailableError", "ServiceUnavailableError"]


class EngineUnavailableError(ScreeningError):
    """A workflow engine is not installed, not configured, or cannot be reached."""

    code = "ENGINE_UNAVAILABLE"


class ServiceUnavailableError(ScreeningError):
    """A remote database (Materials Project, OPTIMADE provider) cannot be reached."""

    code = "OFFLINE"
