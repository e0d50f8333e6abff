"""Downloads: the one place that fetches from hosts which nobody here controls."""

from runner.fetch.client import USER_AGENT, Client, Limits
from runner.fetch.download import Download, NotModified, Validators
from runner.fetch.gate import Gate, OpenGate
from runner.fetch.policy import ANYWHERE, Policy
from runner.fetch.urls import Base, redact

__all__ = [
    "ANYWHERE",
    "USER_AGENT",
    "Base",
    "Client",
    "Download",
    "Gate",
    "Limits",
    "NotModified",
    "OpenGate",
    "Policy",
    "Validators",
    "redact",
]
