"""What the command line itself refuses, before any peer is asked.

CortexError
 ├─ UsageProblem     the command cannot mean anything as it was typed (exit 2)
 ├─ ConfigProblem    a file of settings says what cannot be (exit 2)
 │   └─ NotThereYet  the folder or device that is named is missing, and may come later (exit 1)
 ├─ EngineMissing    the packages that compute are not installed
 ├─ ServiceProblem   systemd does not do what it was asked, or the service could not run
 ├─ ModelStays       a model's files that are not ours to remove, or in use
 ├─ CommandLate      what --timeout allowed is over (exit 6)
 ├─ AgentMissing     the program that is to be started is not installed
 └─ OutputFailed     the answer could not be written where it should go
"""

from __future__ import annotations

from cortex.engine.errors import CortexError


class UsageProblem(CortexError): ...


class ConfigProblem(CortexError): ...


class NotThereYet(ConfigProblem): ...


class EngineMissing(CortexError): ...


class AgentMissing(CortexError): ...


class ServiceProblem(CortexError): ...


class ModelStays(CortexError): ...


class CommandLate(CortexError): ...


class OutputFailed(CortexError): ...


class ReaderGone(Exception):
    """Whoever read our standard output has closed it: nobody is left to tell."""
