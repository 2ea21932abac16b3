"""``python -m tests.bench [pure|network|audit|machines]``: all measurements, or one part."""

from __future__ import annotations

import sys

from tests.bench import audit, machines, network, pure

PARTS = {"pure": pure.main, "network": network.main, "audit": audit.main, "machines": machines.main}


def main() -> None:
    """Run the named parts, all when none is named."""
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main()
