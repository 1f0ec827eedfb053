"""From bytes to structure: GGUF files, their metadata, their tensors and their names.

Standard library and NumPy only. Nothing in a file is believed before it is checked.
"""

from __future__ import annotations

from .file_types import FILE_TYPES, file_type_name
from .header import Header, parse_header
from .layout import Status, TensorInfo
from .metadata import Metadata
from .naming import FileName
from .qtypes import QTYPES, QType, find_qtype, known_qtype, qtype
from .remote import Address, RemoteFile, RemoteOptions
from .shards import GGUFFile, open_file
from .source import Bytes, ByteSource, LocalFile
from .text import preview, printable, quoted, suggest
from .values import ArrayValue, Value, ValueType

__all__ = [
    "FILE_TYPES",
    "QTYPES",
    "Address",
    "ArrayValue",
    "ByteSource",
    "Bytes",
    "FileName",
    "GGUFFile",
    "Header",
    "LocalFile",
    "Metadata",
    "QType",
    "RemoteFile",
    "RemoteOptions",
    "Status",
    "TensorInfo",
    "Value",
    "ValueType",
    "file_type_name",
    "find_qtype",
    "known_qtype",
    "open_file",
    "parse_header",
    "preview",
    "printable",
    "qtype",
    "quoted",
    "suggest",
]
