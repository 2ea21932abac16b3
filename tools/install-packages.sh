#!/bin/sh
# Install the Debian packages that Kumiai's main job needs; do nothing when all of them are there.
# "install-packages.sh test" installs also the programs whose configuration the tests check.
#
# As root it installs them, and starts no daemon while doing so. As anybody else it prints the command and exits with
# status 3. Made for Debian 12 and 13.
set -eu

# A package, and what needs it.
packages='
ca-certificates             pip, Go modules, image build: verified downloads
debian-archive-keyring      image build: verifies the packages of the guest
e2fsprogs                   image build: mke2fs makes the disk
curl                        lab and demo: a person at an office terminal
frr                         lab: routers of carriers and offices
genisoimage                 libvirt plugin: the cloud-init disk
iproute2                    lab: namespaces, bridges, links
libvirt-clients             checks of the live machines: virsh
libvirt-daemon              lab: one libvirtd a simulated host
libvirt-daemon-driver-qemu  lab: virtual machines
mmdebstrap                  image build: the root file system
netcat-openbsd              libvirt over ssh
nftables                    rules are loaded and read back in a sandbox
openssh-client              configuration: Ansible reaches the machines
python3-venv                everything: the Python environment
qemu-system-x86             lab: virtual machines
qemu-utils                  image build: qemu-img
xsltproc                    libvirt plugin: what its own fields cannot say
xz-utils                    image build: compressed parts
'
test_packages='
charon-systemd              tunnels: far ends in the lab, and gateways in tests
chromium                    the audit report, looked at as a person does
conntrack                   pairs of gateways: ends sessions that rules forbid
conntrackd                  pairs of gateways: tells the partner of open connections
etcd-client                 changes of the voters of a database
etcd-server                 voters of a replicated database
fonts-noto-cjk              the audit report: Japanese
haproxy                     accepts what is rendered, and passes requests on
keepalived                  accepts what is rendered, and moves an address
libcharon-extra-plugins     tunnels: IPsec in user space, for kernels without it
openssl                     certificates of tests
patroni                     a replicated database
postgresql                  the application and the rights in its database
python3-etcd                patroni speaks to etcd
python3-idna                patroni checks the names in certificates
python3-psycopg2            patroni speaks to PostgreSQL
strongswan-swanctl          tunnels: loads what is rendered
'
[ "${1:-}" != test ] || packages=$packages$test_packages

if ! command -v dpkg-query >/dev/null; then
    echo "install-packages: this is no Debian; install what provides these yourself:$packages" >&2
    exit 3
fi

missing=$(
    echo "$packages" | while read -r name _; do
        [ -n "$name" ] || continue
        status=$(dpkg-query --show --showformat '${db:Status-Status}' "$name" 2>/dev/null) || status=absent
        [ "$status" = installed ] || printf ' %s' "$name"
    done
)
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "install-packages: these Debian packages are missing. Run as root, then try again:" >&2
    echo "  apt-get update && apt-get install --yes --no-install-recommends$missing" >&2
    exit 3
fi

echo "Installing$missing"

# A package must not start its daemon here: the lab runs its own ones in namespaces, and a machine that is no
# hypervisor should not become one by a demo. An administrator's own policy stays as it is.
policy=${POLICY_RC_D:-/usr/sbin/policy-rc.d}    # the variable is for the test of this script
mark='# temporary, by kumiai tools/install-packages.sh'
remove_policy() {
    if [ -f "$policy" ] && grep -qxF "$mark" "$policy"; then rm -f "$policy"; fi
}
trap remove_policy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
remove_policy    # left by a run that was killed
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy"
    chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # a list of names
install() { apt-get install --yes --quiet --quiet --no-install-recommends -o DPkg::Lock::Timeout=300 $missing; }

# The package lists of a fresh machine are empty or old; those of a maintained one save a minute.
# shellcheck disable=SC2086
if ! apt-get install --simulate --quiet --quiet --no-install-recommends $missing >/dev/null 2>&1 || ! install; then
    apt-get update --quiet --quiet
    install
fi

# Nor should they start with the machine: they are here for the lab and the tests.
if command -v systemctl >/dev/null; then
    for unit in etcd frr haproxy keepalived patroni postgresql; do
        case " $missing " in *" $unit "* | *" $unit-server "*) systemctl disable --quiet "$unit" || true ;; esac
    done
fi
