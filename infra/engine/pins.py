"""Which programs make the engine, and what they are built from.

Every Go module is pinned by the hashes in ``tools/engine/*/go.sum``. A unit's digest covers all that decides what its
programs are, so a build is found again exactly as long as nothing of that changed.
"""

import hashlib
import pathlib
from dataclasses import dataclass

PROJECT = pathlib.Path(__file__).resolve().parents[2]
"""The checkout: tools/engine is read from here."""

SOURCES = PROJECT / "tools" / "engine"

PULUMI_VERSION = (3, 258, 0)
"""The oldest Pulumi that is used when it is on PATH, and the one that is built; as in pulumi/go.mod."""

PLUGIN_VERSION = "0.5.4"
"""What the plugin calls itself; as in provider/main.go and the Python package pulumi-libvirt."""

GO_VERSION = (1, 25, 11)
"""The oldest Go that builds these modules; as in pulumi/go.mod."""

GO_WHEEL = SOURCES / "go-toolchain.txt"
"""The pinned wheel with a Go toolchain, for a machine without a new enough one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One executable and how Go builds it."""

    name: str
    module: pathlib.Path
    """Folder with go.mod and go.sum."""
    package: str
    """What ``go build`` is given."""
    ldflags: str = "-s -w"
    minutes: str
    """How long a first build takes on two cores, for the progress line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Programs that stand in one folder of the cache, because one looks for the other beside itself."""

    name: str
    programs: tuple[Program, ...]

    def digest(self) -> str:
        """Return the hash of everything that decides what is built: modules, their pins, sources and flags."""
        total = hashlib.sha256()
        for program in self.programs:
            for part in (program.name, program.package, program.ldflags):
                total.update(part.encode() + b"\0")
            for path in sorted(p for p in program.module.iterdir() if p.is_file()):
                content = path.read_bytes()
                total.update(f"{path.name}\0{len(content)}\0".encode() + content)
        return total.hexdigest()


_VERSION_TEXT = ".".join(map(str, PULUMI_VERSION))

PULUMI = Program(
    name="pulumi",
    module=SOURCES / "pulumi",
    package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    ldflags=f"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{_VERSION_TEXT}",
    minutes="5 minutes",
)
LANGUAGE_HOST = Program(
    name="pulumi-language-python",
    module=SOURCES / "language-python",
    package="github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python",
    minutes="half a minute",
)
PLUGIN = Program(
    name="pulumi-resource-libvirt",
    module=SOURCES / "provider",
    package=".",
    minutes="1 minute",
)

ENGINE = Unit(name="pulumi", programs=(PULUMI, LANGUAGE_HOST))
LIBVIRT = Unit(name="libvirt", programs=(PLUGIN,))

LANGUAGE_HOST_SCRIPT = "pulumi-language-python-exec"
"""The script by which the language host starts a program; it comes with Pulumi's SDK module, not with the host."""
SCRIPT_MODULE = "github.com/pulumi/pulumi/sdk/v3"
"""The module of that script, in the version that pulumi/go.mod selects."""
SCRIPT_IN_MODULE = pathlib.PurePosixPath("python/cmd", LANGUAGE_HOST_SCRIPT)
