"""What a check of a data set found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or may be.

    Parameters
    ----------
    severity : {"error", "warning"}
        An error stops training, estimation or review of this case, or spoils what comes of it.
    kind : str
        For machines: ``"shape"``, ``"geometry"``, ``"empty-mask"`` and so on.
    case : str
        Its id; empty where the data set as a whole is meant.
    message : str
        Names the file and says what is wrong.
    """

    severity: Severity
    kind: str
    case: str
    message: str

    def __str__(self) -> str:
        return f"{self.severity:7}  {self.kind:15}  {self.message}"


@dataclass(frozen=True)
class CheckReport:
    """All findings.

    Parameters
    ----------
    cases : tuple of str
        Ids of the cases that were checked.
    findings : tuple of Finding
        In the order of the cases, those of the data set as a whole first and last.
    """

    cases: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> int:
        """Number of errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def warnings(self) -> int:
        """Number of warnings."""
        return len(self.findings) - self.errors

    def __str__(self) -> str:
        ordered = sorted(self.findings, key=lambda finding: finding.severity)
        total = f"{len(self.cases)} cases: {self.errors} errors, {self.warnings} warnings"
        return "\n".join([*map(str, ordered), total])


def error(kind: str, case: str, message: str) -> Finding:
    """A finding that stops or spoils work."""
    return Finding("error", kind, case, message)


def warning(kind: str, case: str, message: str) -> Finding:
    """A finding to look at."""
    return Finding("warning", kind, case, message)
