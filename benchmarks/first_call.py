"""What the first comparison waits for: compiling the kernels, or loading them from the cache.

A fresh process, once with an empty cache and once with the one that it left behind.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

CODE = """
from time import perf_counter
start = perf_counter()
from gguf_lab.comparison import kernels
imported = perf_counter()
from gguf_lab.codec import find_format
from gguf_lab.codec.backends.numba_ import dequantizer
kernels._kernel()
print(f"    the comparison, for all formats: {perf_counter() - imported:.2f} s")
for name in ("BF16", "F32", "Q4_K", "Q6_K", "Q8_0", "IQ2_XXS"):
    begin = perf_counter()
    dequantizer(find_format(name))
    print(f"    {name}: {perf_counter() - begin:.2f} s")
print(f"    all: {perf_counter() - imported:.2f} s, and {imported - start:.2f} s of imports")
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        for state in ("empty cache", "filled cache"):
            print(state, flush=True)
            subprocess.run([sys.executable, "-c", CODE], check=True, env=environment)


if __name__ == "__main__":
    main()
