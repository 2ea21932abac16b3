"""Programs that only pretend, in a folder for PATH. Each notes its calls."""

import pathlib


class Programs:
    """A folder of fake programs and the list of their calls."""

    def __init__(self, root: pathlib.Path) -> None:
        self.folder = root / "bin"
        self.folder.mkdir()
        self._calls = root / "calls"

    def add(self, name: str, body: str = "") -> None:
        """Add program ``name``, a shell script; /bin and /usr/bin are there for it."""
        path = self.folder / name
        path.write_text(
            f'#!/bin/sh\necho "{name} $*" >>"{self._calls}"\nPATH=/usr/bin:/bin\n{body}\n', encoding="utf-8"
        )
        path.chmod(0o755)

    def add_go(self, version: str = "1.26.8", on_build: str = "", script: str = "#!/usr/bin/env python\n") -> None:
        """Add a ``go`` whose ``build`` writes its package's name to the output and runs ``on_build`` before.

        ``script`` is the language host's script in the module that ``go mod download`` names.
        """
        module = self.folder.parent / "module" / "python" / "cmd"
        module.mkdir(parents=True, exist_ok=True)
        (module / "pulumi-language-python-exec").write_text(script, encoding="utf-8")
        self.add(
            "go",
            f"""
            case $1 in
            version) echo go version go{version} linux/amd64;;
            mod) echo '{{"Dir": "{module.parents[1]}"}}';;
            build)
                while [ $# -gt 1 ]; do [ "$1" = -o ] && output=$2; shift; done
                echo half >"$output"
                {on_build or ":"}
                echo "$1 $CGO_ENABLED $GOFLAGS $GOTOOLCHAIN $GOWORK $(pwd)" >"$output"
                chmod +x "$output";;
            esac""",
        )

    def calls(self, program: str) -> list[str]:
        """Return the arguments of every call of ``program`` so far."""
        if not self._calls.exists():
            return []
        lines = self._calls.read_text(encoding="utf-8").splitlines()
        return [line.removeprefix(f"{program} ") for line in lines if line.startswith(f"{program} ")]

    def builds(self) -> list[str]:
        """Return the packages that the fake ``go`` was told to build."""
        return [call.split()[-1] for call in self.calls("go") if call.startswith("build")]
