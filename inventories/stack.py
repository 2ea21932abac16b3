#!/usr/bin/env python3
"""Dynamic Ansible inventory of a stack.

By hand, in the project's folder and its environment (``. .venv/bin/activate``)::

    KUMIAI_STACK=demo ansible-playbook -i inventories/stack.py site.yml
    KUMIAI_STACK=demo ansible -i inventories/stack.py service_juki -b -a 'systemctl is-system-running'
    KUMIAI_STACK=demo ansible-inventory -i inventories/stack.py --graph

The stack's secrets are decrypted with the passphrase that ``kumiai up`` uses. They never stand in the inventory: keys
and passwords lie in a 0700 directory in memory, which a small helper process removes as soon as the program that asked
for the inventory has ended, however it ended. ``KUMIAI_AS_OF`` sets the day of the plan (default: today).

``kumiai configure`` prepares the same directory itself and names it in ``KUMIAI_INVENTORY``.
"""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main() -> None:
    """Print the inventory as JSON (``--list``), or an empty record for ``--host NAME``: ``--list`` has all of them."""
    if "--host" in sys.argv[1:]:
        print("{}")
    elif "KUMIAI_INVENTORY" in os.environ:
        print(pathlib.Path(os.environ["KUMIAI_INVENTORY"]).read_text(encoding="utf-8"))
    elif "KUMIAI_STACK" in os.environ:
        _use_environment()
        from infra.configure import by_hand  # noqa: PLC0415 - only now is it known to be there

        print(by_hand.prepare(os.environ["KUMIAI_STACK"], os.environ.get("KUMIAI_AS_OF"), os.getppid()))
    else:
        sys.exit("say which stack: KUMIAI_STACK=demo ansible-playbook -i inventories/stack.py site.yml")


def _use_environment() -> None:
    """Go on in the project's own environment when this interpreter is another one."""
    python = ROOT / ".venv" / "bin" / "python"
    if sys.prefix == sys.base_prefix and python.exists():
        os.execv(python, [str(python), *sys.argv])  # noqa: S606 - no shell is wanted
    sys.path.insert(0, str(ROOT))


if __name__ == "__main__":
    main()
