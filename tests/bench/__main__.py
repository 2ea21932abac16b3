"""``python -m tests.bench [pure|network|machines]``: all measurements, or one part."""

from __future__ import annotations

import sys

from tests.bench import machines, network, pure

PARTS = {"pure": pure.main, "network": network.main, "machines": machines.main}


def main() -> None:
    """Run the named parts, all when none is named."""
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main()
