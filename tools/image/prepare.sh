#!/bin/sh
# Before the first package is unpacked: prepare.sh ROOT, called by mmdebstrap.
set -eu
root=$1

# A database is made by its role, on the data volume.
mkdir -p "$root/etc/postgresql-common/createcluster.d"
echo 'create_main_cluster = false' >"$root/etc/postgresql-common/createcluster.d/kumiai.conf"
