"""Run the command line: ``python -m gguf_lab``."""

from .cli import main

raise SystemExit(main())
