"""``python -m edgewright``."""

from __future__ import annotations

from edgewright.cli import main

if __name__ == "__main__":
    main()
