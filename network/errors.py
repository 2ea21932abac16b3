"""Errors a person can act on. Each class carries the exit status that the command line returns."""

from __future__ import annotations


class KumiaiError(Exception):
    """Base of every expected failure; anything else is a defect and keeps its traceback."""

    exit_code = 1


class OperationError(KumiaiError):
    """The operation was tried and failed, or a check found something (exit 1)."""


class InputError(KumiaiError):
    """The input is wrong; nothing was touched (exit 2)."""

    exit_code = 2


class EnvironmentLackError(KumiaiError):
    """The machine lacks something; the message says what and how to get it (exit 3)."""

    exit_code = 3
