"""Make the engine ready and print, for a shell, how to use it: ``eval "$(python -m infra.engine)"``."""

import shlex
import sys

from infra.engine import ensure_engine
from network import errors


def main() -> int:
    """Print one export line per variable; return the exit status."""
    try:
        engine = ensure_engine()
    except errors.KumiaiError as e:
        print(e, file=sys.stderr)
        return e.exit_code
    for name, value in engine.env.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
