"""The exception tree. Every error a user can meet says what happened, and takes a hint that says what to do."""

from __future__ import annotations


class EdgewrightError(Exception):
    """Base of every error that is the input's, the target's or the environment's fault, not a defect of the tool.

    The command line prints ``message`` and ``hint`` without a traceback and exits with code 2.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class ModelError(EdgewrightError):
    """A model file or graph is malformed: it cannot be read, or breaks a rule of its level."""


class UnsupportedError(EdgewrightError):
    """A model is well formed but uses an operator or attribute that Edgewright (or the emitter) does not have."""


class DataError(EdgewrightError):
    """User data (calibration samples, labels, inputs) is missing, malformed or does not match the network."""


class TargetError(EdgewrightError):
    """A target is unknown, or its description is invalid."""


class RecipeError(EdgewrightError):
    """A recipe or a pass option is unknown or has an invalid value."""


class BudgetError(EdgewrightError):
    """The network does not fit the target or the budget."""


class ToolError(EdgewrightError):
    """An external tool (compiler, emulator, runtime) is missing or failed."""
