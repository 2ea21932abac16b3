"""What a guest image is made of, and the identifier that follows from it.

The identifier is a digest over every input that this project holds: suite, packages, scripts and files, and the version
of the builder. Package *versions* are not among them, since they are the archive's choice on the day of the build: the
manifest beside a built image lists them.
"""

import hashlib
import json
import pathlib
import re
from dataclasses import dataclass

from network import errors

BUILDER_VERSION = 1
"""Raise it when `infra.image.build` makes something else of the same inputs."""

GUEST = pathlib.Path(__file__).resolve().parents[2] / "tools" / "image"
"""The scripts and files that make a Debian tree a guest."""

DEFAULT_SUITE = "trixie"
SUITES = ("bookworm", "trixie")
"""Debian releases whose systemd and cloud-init the guest's files fit.

What a role needs beyond that it looks for itself: bookworm's Patroni is too old for a replicated database."""

ROOT_GIB = 4
"""Size of the root file system; what grows lies on data volumes."""

PACKAGES = (
    # the machine itself
    "ca-certificates", "chrony", "cloud-init", "dbus", "e2fsprogs", "iproute2", "iputils-ping", "kmod",
    "libnss-myhostname", "linux-image-cloud-amd64", "logrotate", "nftables", "openssh-server", "procps", "python3",
    "sudo", "systemd", "systemd-sysv", "udev",
    # its first process comes from the initrd
    "busybox-static",
    # load balancer
    "haproxy", "keepalived",
    # gateway
    "charon-systemd", "conntrack", "conntrackd", "frr", "libstrongswan-standard-plugins", "strongswan-swanctl",
    # database, its replication and its voters
    "etcd-client", "etcd-server", "patroni", "postgresql", "python3-dnspython", "python3-etcd", "python3-psycopg2",
    # reference application
    "python3-waitress",
)  # fmt: skip
"""Everything that the roles need: they never install a package."""

NOT_UNPACKED = (
    "/usr/share/doc/*", "/usr/share/info/*", "/usr/share/lintian/*", "/usr/share/locale/*", "/usr/share/man/*",
    # PostgreSQL's just-in-time compiler: a fifth of the image, and PostgreSQL does without it when it is missing.
    "/usr/lib/postgresql/*/lib/bitcode/*", "/usr/lib/postgresql/*/lib/llvmjit*", "/usr/lib/*/libLLVM*",
)  # fmt: skip
"""Files of the packages that no machine reads; patterns of dpkg's ``path-exclude``."""

_IMAGE_ID = re.compile(r"[a-z]+-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The inputs of an image."""

    suite: str = DEFAULT_SUITE
    packages: tuple[str, ...] = PACKAGES
    root_gib: int = ROOT_GIB
    guest: pathlib.Path = GUEST

    def __post_init__(self) -> None:
        if self.suite not in SUITES:
            raise errors.InputError(f"guest suite {self.suite!r}: expected one of {', '.join(SUITES)}")
        if not self.packages:
            raise errors.InputError("a guest image without packages cannot boot")

    @property
    def image_id(self) -> str:
        """Return the identifier of the image that this recipe makes, e.g. ``trixie-3f2a90c1d4e7``."""
        return f"{self.suite}-{recipe_digest(self)[:12]}"


def is_image_id(text: str) -> bool:
    """Say whether ``text`` looks like the identifier of a built image."""
    return _IMAGE_ID.fullmatch(text) is not None


def recipe_digest(recipe: Recipe) -> str:
    """Return the SHA-256 over all inputs, in hexadecimal."""
    files = {
        path.relative_to(recipe.guest).as_posix(): [path.stat().st_mode & 0o111 != 0, _sha256(path.read_bytes())]
        for path in sorted(recipe.guest.rglob("*"))
        if path.is_file()
    }
    if not files:
        raise errors.EnvironmentLackError(f"{recipe.guest} is missing or empty: the checkout is not complete")
    inputs = {
        "builder": BUILDER_VERSION,
        "suite": recipe.suite,
        "packages": sorted(set(recipe.packages)),
        "not_unpacked": sorted(NOT_UNPACKED),
        "root_gib": recipe.root_gib,
        "files": files,
    }
    return _sha256(json.dumps(inputs, sort_keys=True).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
