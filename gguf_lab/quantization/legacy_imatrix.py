"""The format of importance matrices before GGUF, number by number.

Source: ``common_imatrix_load`` and ``load_imatrix`` of llama-quantize.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ..errors import GGUFError
from ..file.text import decode

if TYPE_CHECKING:
    from ..file import LocalFile

__all__ = ["LegacyReader"]


class LegacyReader:
    """Walks through a legacy file and believes no count before it has checked it."""

    def __init__(self, file: LocalFile) -> None:
        self.file, self.position = file, 0

    @property
    def left(self) -> int:
        """Bytes that have not been read."""
        return self.file.size - self.position

    def malformed(self, found: str, expected: str) -> GGUFError:
        """Say what is wrong, and where."""
        return GGUFError(
            f"{self.file.name}, byte {self.position:,}: {found}. Expected {expected}. The file is "
            "no importance matrix (neither GGUF nor the format before it), or damaged."
        )

    def number(self, what: str) -> int:
        """Read an int32."""
        if self.left < 4:
            raise self.malformed(f"{what} is missing: the file ends", "4 bytes")
        number: int = struct.unpack("<i", bytes(self.file.read(self.position, 4)))[0]
        self.position += 4
        return number

    def count(self, what: str, *, at_least: int, bytes_each: int) -> int:
        """Read how many of something follow, for which there must be bytes."""
        number, most = self.number(what), self.left // bytes_each
        if not at_least <= number <= most:
            self.position -= 4
            raise self.malformed(
                f"{what} is {number}", f"{at_least} to {most}, for which there are bytes"
            )
        return number

    def text(self, what: str) -> str:
        """Read a length and so many bytes of text."""
        length = self.count(f"the length of {what}", at_least=0, bytes_each=1)
        raw = bytes(self.file.read(self.position, length))
        self.position += length
        return decode(raw.partition(b"\0")[0])

    def origin(self) -> tuple[int, str]:
        """Read how many chunks, of what: later writers say it at the end.

        Whatever else follows the entries is passed over, as llama.cpp does: none of it counts.
        """
        chunks = self.number("the number of chunks") if self.left >= 4 else 0
        length = self.number("the length of the dataset's name") if self.left >= 4 else 0
        if not 0 < length <= self.left:
            return chunks, ""
        return chunks, decode(bytes(self.file.read(self.position, length)).partition(b"\0")[0])
