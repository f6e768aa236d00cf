"""Failures that a person can mend: their text says what is wrong and what to do, so no stack trace is shown."""

from __future__ import annotations


class Failure(Exception):
    """The command line prints the text and exits with 2."""
