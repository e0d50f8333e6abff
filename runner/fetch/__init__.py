"""Downloads: the one place that fetches from hosts which nobody here controls."""

from runner.fetch.client import USER_AGENT, Client, Download, Limits
from runner.fetch.network import AddressCheck
from runner.fetch.urls import Base, redact

__all__ = ["USER_AGENT", "AddressCheck", "Base", "Client", "Download", "Limits", "redact"]
