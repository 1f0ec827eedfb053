"""Memory of known machines: how much there is, and how fast it can be read. Makers' own figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["MACHINES", "Machine"]


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine, or a graphics card.

    Attributes
    ----------
    name : str
        What it is called.
    bandwidth : float
        Bytes per second that its memory can give at most.
    memory : int
        Bytes of this memory; of machines that are sold with several sizes, the largest.
    source : str
        Where the figures are from.
    """

    name: str
    bandwidth: float
    memory: int
    source: str


def _machine(name: str, gb_per_s: float, gib: int, source: str) -> Machine:
    return Machine(name, gb_per_s * 1e9, gib * 2**30, source)


MACHINES: Final = (
    # A module of DDR is 64 bits wide: 8 bytes x transfers per second x channels (JEDEC).
    _machine("Raspberry Pi 5", 17.1, 16, "Raspberry Pi: LPDDR4X-4267, 32 bits wide"),
    _machine("PC, DDR4-3200, 2 channels", 51.2, 128, "JEDEC: 8 bytes x 3.2 GT/s x 2"),
    _machine("PC, DDR5-5600, 2 channels", 89.6, 192, "JEDEC: 8 bytes x 5.6 GT/s x 2"),
    _machine("server, DDR5-4800, 12 channels", 460.8, 6144, "AMD: EPYC 9004, per socket"),
    _machine("Apple M2", 100, 24, "Apple: MacBook Air (M2) technical specifications"),
    _machine("Apple M4", 120, 32, "Apple: Mac mini (2024) technical specifications"),
    _machine("Apple M4 Pro", 273, 64, "Apple: Mac mini (2024) technical specifications"),
    _machine("Apple M4 Max, 40-core GPU", 546, 128, "Apple: Mac Studio (2025) specifications"),
    _machine("Apple M3 Ultra", 819, 512, "Apple: Mac Studio (2025) technical specifications"),
    _machine("AMD Ryzen AI Max+ 395", 256, 128, "AMD: LPDDR5X-8000, 256 bits wide"),
    _machine("NVIDIA DGX Spark", 273, 128, "NVIDIA: DGX Spark data sheet"),
    _machine("NVIDIA RTX 3060 12 GB", 360, 12, "NVIDIA: GDDR6, 15 Gbit/s, 192 bits wide"),
    _machine("NVIDIA RTX 3090", 936, 24, "NVIDIA: GDDR6X, 19.5 Gbit/s, 384 bits wide"),
    _machine("NVIDIA RTX 4090", 1008, 24, "NVIDIA: GDDR6X, 21 Gbit/s, 384 bits wide"),
    _machine("NVIDIA RTX 5090", 1792, 32, "NVIDIA: GDDR7, 28 Gbit/s, 512 bits wide"),
    _machine("AMD RX 7900 XTX", 960, 24, "AMD: GDDR6, 20 Gbit/s, 384 bits wide"),
    _machine("NVIDIA A100 80 GB (SXM)", 2039, 80, "NVIDIA: A100 data sheet"),
    _machine("NVIDIA H100 (SXM)", 3350, 80, "NVIDIA: H100 data sheet"),
    _machine("NVIDIA H200", 4800, 141, "NVIDIA: H200 data sheet"),
    _machine("AMD MI300X", 5300, 192, "AMD: Instinct MI300X data sheet"),
)
