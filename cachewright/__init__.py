"""Cachewright: a managed cache on your own machines. ``client`` and ``local_server`` are what programs use."""

from cachewright.client import client
from cachewright.local_server import LocalServer, ServerFailedError, local_server

__all__ = ["LocalServer", "ServerFailedError", "client", "local_server"]
__version__ = "0.1.0"
