"""Files that lie on a server, read by ranges: a hub, a mirror of one, any server that has ranges.

From a name to bytes: `address` reads the name, `login` knows the hub and the token, `request` sends
one request and follows redirects, `deadline` holds attempts to their time, `ranges` checks that
what comes is what was asked and of the same version, `blocks` and `disk` keep it, `remote_file`
joins them to a source of bytes. `hub` lists repositories.

A server is not trusted: its bytes count only if status, range, length and ETag are right.
"""

from __future__ import annotations

from .address import Address, location, parse_address
from .deadline import InterruptedReadError, unless
from .hub import HubFile, read_repository
from .options import RemoteOptions
from .refusals import MissingFileError
from .remote_file import RemoteFile
from .small import read_small

__all__ = [
    "Address",
    "HubFile",
    "InterruptedReadError",
    "MissingFileError",
    "RemoteFile",
    "RemoteOptions",
    "location",
    "parse_address",
    "read_repository",
    "read_small",
    "unless",
]
