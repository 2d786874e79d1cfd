"""No message shows a password."""

from __future__ import annotations

import re

__all__ = ["mask_passwords"]

SECRET_OPTION = re.compile(
    r"([?&][^=&\s]*(?:password|token|secret|authMechanismProperties)[^=&\s]*=)[^&\s]*",
    re.IGNORECASE,
)


def mask_passwords(text: str) -> str:
    """Return text with the passwords and tokens of all URIs in it replaced by stars.

    Examples
    --------
    >>> mask_passwords("mongodb://me:s3cret@host/db?authMechanismProperties=TOKEN:x&w=1")
    'mongodb://me:***@host/db?authMechanismProperties=***&w=1'
    """
    return SECRET_OPTION.sub(r"\1***", re.sub(r"(://[^/@:\s]*:)\S*@", r"\1***@", text))
