# kernel.sh BUILDER ROOT OUT: the kernel and an initrd in OUT, the modules that tests load in ROOT.
# BUILDER is a root folder with Debian's kernel, its headers and sources, and a compiler.
builder=$1 root=$2 out=$3
version=$(ls "$builder/lib/modules")
modules=$root/usr/lib/modules/$version

# Drivers that Debian's kernel leaves out: a sensor without hardware (iio_dummy), a timer as its trigger, both made through configfs.
ln -sf mawk "$builder/usr/bin/awk" # a package's script would have done it
mkdir "$builder/extra"
cat > "$builder/extra/build" <<'B'
cd /extra
iio=linux-source-6.1/drivers/iio
tar -xJf /usr/src/linux-source-6.1.tar.xz $iio/dummy $iio/industrialio-configfs.c $iio/industrialio-sw-device.c \
    $iio/industrialio-sw-trigger.c $iio/trigger/iio-trig-hrtimer.c
cp $iio/*.c $iio/dummy/*.[ch] $iio/trigger/*.c .
cat > Makefile <<'M'
ccflags-y := -DCONFIG_IIO_SIMPLE_DUMMY_BUFFER=1 -DCONFIG_IIO_SW_DEVICE=1 -DCONFIG_IIO_SW_TRIGGER=1 -DCONFIG_IIO_CONFIGFS=1
obj-m := industrialio-configfs.o industrialio-sw-device.o industrialio-sw-trigger.o iio_dummy.o iio-trig-hrtimer.o
iio_dummy-y := iio_simple_dummy.o iio_simple_dummy_buffer.o
M
make -s -C /lib/modules/$(ls /lib/modules)/build M=/extra modules
strip --strip-debug *.ko
B
unshare --mount --propagation private sh -ec 'mount --rbind /dev "$1/dev"; mount -t proc proc "$1/proc"
    exec chroot "$1" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -e /extra/build' _ "$builder"

# Only what a test may load: the whole tree is about 400 MB.
mkdir -p "$modules/kernel" "$modules/extra"
(
    cd "$builder/lib/modules/$version"
    cp modules.order modules.builtin modules.builtin.modinfo "$modules"
    for part in drivers/media drivers/i2c drivers/iio drivers/watchdog drivers/hwmon drivers/virtio drivers/block drivers/char \
        drivers/base sound fs/9p fs/netfs fs/fscache fs/configfs fs/ext4 fs/jbd2 fs/mbcache.ko net/9p lib crypto arch/x86/crypto; do
        cp -a --parents "kernel/$part" "$modules"
    done
)
cp "$builder"/extra/*.ko "$modules/extra"
chroot "$root" depmod "$version"
cp "$builder/boot/vmlinuz-$version" "$out/vmlinuz"

# The initrd: a busybox, and the modules that reach the disk.
initrd=$(mktemp -d)
mkdir -p "$initrd/bin" "$initrd/lib" "$initrd/dev" "$initrd/proc" "$initrd/sys" "$initrd/root"
cp "$root/bin/busybox" "$initrd/bin"
loads=
for name in virtio_pci virtio_blk crc32c_generic ext4; do
    for file in $(chroot "$root" modprobe -S "$version" --show-depends $name | sed -n 's/^insmod \([^ ]*\).*/\1/p'); do
        module=$(basename "$file")
        [ -e "$initrd/lib/$module" ] || loads="$loads $module"
        cp "$root$file" "$initrd/lib"
    done
done
cat > "$initrd/init" <<I
#!/bin/busybox sh
b=/bin/busybox
\$b mount -t devtmpfs dev /dev
\$b mount -t proc proc /proc
\$b mount -t sysfs sys /sys
for module in $loads; do \$b insmod /lib/\$module; done
tries=0
while [ ! -b /dev/vda ] && [ \$tries -lt 200 ]; do \$b usleep 50000; tries=\$((tries + 1)); done
\$b mount -t ext4 /dev/vda /root
\$b mount -o move /dev /root/dev
\$b umount /sys
\$b umount /proc
exec \$b switch_root /root /sbin/init
I
chmod +x "$initrd/init"
(cd "$initrd" && find . | "$root/bin/busybox" cpio -o -H newc 2>/dev/null | gzip -1) > "$out/initrd"
rm -rf "$initrd"
