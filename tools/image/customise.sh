#!/bin/sh
# Turn a fresh Debian tree into Kumiai's guest: customise.sh ROOT, called by mmdebstrap as root with the tree's path.
# Leaves /boot/vmlinuz and /boot/initrd.img for the builder to take out.
set -eu
root=$1
here=$(dirname "$(readlink -f "$0")")

cp -R --no-preserve=ownership "$here/overlay/." "$root/"
. "$root/etc/os-release"

# --- services: the preset file of the overlay says what starts
chroot "$root" systemctl preset-all --preset-mode=full 2>/dev/null
# The generator asks at every boot where the node's data may come from; here there is one answer, and every unit of
# cloud-init checks /etc/cloud/cloud-init.disabled by itself.
mkdir -p "$root/etc/systemd/system/multi-user.target.wants" "$root/etc/systemd/system-generators"
ln -sf /usr/lib/systemd/system/cloud-init.target "$root/etc/systemd/system/multi-user.target.wants/cloud-init.target"
for generator in cloud-init-generator postgresql-generator systemd-gpt-auto-generator \
    systemd-hibernate-resume-generator systemd-rc-local-generator systemd-run-generator systemd-ssh-generator systemd-system-update-generator systemd-sysv-generator \
    systemd-tpm2-generator; do
    ln -sf /dev/null "$root/etc/systemd/system-generators/$generator"
done
# Units that find nothing to do in this guest, and cost a process start each (0.1 to 0.5 s of an emulated processor).
for unit in systemd-networkd-wait-online.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount \
    systemd-firstboot.service systemd-hwdb-update.service systemd-journal-catalog-update.service \
    systemd-pcrmachine.service systemd-pcrphase.service systemd-pcrphase-sysinit.service systemd-tpm2-setup.service \
    systemd-tpm2-setup-early.service systemd-update-done.service systemd-sysusers.service ldconfig.service \
    systemd-hibernate-clear.service systemd-pstore.service systemd-ask-password-console.path \
    systemd-ask-password-wall.path sys-fs-fuse-connections.mount sys-kernel-config.mount sys-kernel-debug.mount \
    sys-kernel-tracing.mount dev-hugepages.mount systemd-battery-check.service \
    systemd-creds.socket systemd-pcrextend.socket systemd-pcrlock.socket systemd-sysext.socket \
    systemd-initctl.socket e2scrub_all.timer e2scrub_reap.service apt-daily.timer apt-daily-upgrade.timer \
    dpkg-db-backup.timer fstrim.timer getty-static.service getty@tty1.service sshd-keygen.service ssh.socket \
    cloud-init-hotplugd.socket; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
# Devices that a guest does not have.
mkdir -p "$root/etc/udev/rules.d"
for rule in 60-autosuspend 60-drm 60-fido-id 60-infiniband 60-persistent-alsa 60-persistent-input \
    60-persistent-storage-mtd 60-persistent-storage-tape 60-persistent-v4l 60-sensor 64-btrfs 66-azure-ephemeral \
    70-camera 70-joystick 70-mouse 70-touchpad 71-seat 73-seat-late 75-probe_mtd 78-sound-card 81-net-dhcp \
    90-iocost 96-e2scrub; do
    ln -sf /dev/null "$root/etc/udev/rules.d/$rule.rules"
done

# --- logins: the one client, the management station, asks every machine often while it starts and must not be shut out
if [ "$VERSION_ID" -ge 13 ]; then # bookworm's server does not know the word, nor does it shut anybody out
    echo 'PerSourcePenalties no' >>"$root/etc/ssh/sshd_config.d/10-kumiai.conf"
fi
# no message of the day, no mail check, no login sessions to register
sed -i '/pam_motd\.so/d; /pam_mail\.so/d' "$root/etc/pam.d/sshd"

# --- identity: nothing of the building machine, nothing two guests would share
rm -f "$root"/etc/ssh/ssh_host_* "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/* \
    "$root"/etc/resolv.conf "$root"/var/lib/dbus/machine-id "$root"/var/lib/systemd/random-seed
# Empty, not missing: a missing one means "first boot", which sets all units anew by their presets.
: >"$root/etc/machine-id"
echo localhost >"$root/etc/hostname"
printf '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n' >"$root/etc/hosts"
: >"$root/etc/fstab"
mkdir -p "$root/var/log/journal"

# --- kernel: modules unpacked here once instead of in every guest at every boot
version=$(basename "$root"/usr/lib/modules/*)
find "$root/usr/lib/modules/$version" -name '*.ko.xz' -exec xz -d {} +
chroot "$root" depmod "$version"
initrd=$root/tmp/initrd
mkdir -p "$initrd/bin" "$initrd/dev" "$initrd/proc" "$initrd/root" "$initrd/modules"
cp "$root/usr/bin/busybox" "$initrd/bin/busybox"
cp "$root/usr/lib/modules/$version/kernel/drivers/block/virtio_blk.ko" "$initrd/modules/"
install -m 0755 "$here/initrd-init" "$initrd/init"
chroot "$root" sh -c 'cd /tmp/initrd && find . | sort | busybox cpio -o -H newc' >"$root/boot/initrd.img" 2>/dev/null
mv "$root/boot/vmlinuz-$version" "$root/boot/vmlinuz"
rm -rf "$initrd" "$root"/boot/*-"$version" "$root"/vmlinuz* "$root"/initrd.img*

# --- what no node ever reads
rm -rf "$root"/usr/share/i18n "$root"/usr/lib/udev/hwdb.d "$root"/usr/lib/udev/hwdb.bin "$root"/etc/udev/hwdb.bin \
    "$root"/usr/lib/python3*/test "$root"/usr/lib/python3*/pydoc_data "$root"/var/cache/debconf/*-old \
    "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*.log "$root"/var/log/apt \
    "$root"/usr/share/mime "$root"/usr/share/perl/*/pod
