"""How the built image is started: kernel and initrd directly, without firmware menus or a boot loader."""

_ALWAYS = ("root=LABEL=root", "rw", "quiet", "console=ttyS0", "audit=0", "random.trust_cpu=on")

_EMULATED = (
    # The emulator has none of the flaws, and its users no other tenant beside them.
    "mitigations=off",
    # Security modules that no role configures, and memory cleared twice, cost a tenth of all instructions.
    "lsm=landlock,yama", "init_on_alloc=0",
    # Not "tsc=reliable": a guest that waits for the processor while it measures its clock counter takes any frequency
    # for the right one, and on a busy machine one clock in six ran 13 times too fast. The kernel's own check finds it.
    "nowatchdog", "psi=0", "nokaslr",
    # A service that waits for its turn is not a hung one.
    "systemd.service_watchdogs=0",
    # Waiting for a grace period is waiting for an idle processor, and here there is none.
    "rcupdate.rcu_expedited=1",
    # systemd compiles a system call filter for every service it starts; the kernel hands this on as a variable.
    "SYSTEMD_SECCOMP=0",
)  # fmt: skip


def kernel_arguments(*, emulated: bool) -> str:
    """Return the kernel command line of a machine made from a built image.

    ``emulated``: the host has no KVM, so every instruction is translated and what only hardens is left out.
    """
    return " ".join((*_ALWAYS, *(_EMULATED if emulated else ())))
