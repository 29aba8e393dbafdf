# Runs a command in a root filesystem as the control of a test: chroot.sh ROOT HOSTNAME COMMAND...
# It is pid 1 of new mount, pid, uts and ipc namespaces; all that it mounts goes with them.
set -eu
root=$1 hostname=$2
shift 2
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o "lowerdir=$root,upperdir=/mnt/upper,workdir=/mnt/work" overlay /mnt/root
cd /mnt/root
mount -t proc proc proc
mount --bind /sys sys
mount -t tmpfs -o mode=755 tmpfs dev
for node in "null 3" "zero 5" "full 7" "random 8" "urandom 9"; do
	mknod -m 666 "dev/${node% *}" c 1 "${node#* }"
done
mknod -m 666 dev/tty c 5 0
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,mode=620,ptmxmode=666 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
mount -t tmpfs -o mode=1777 tmpfs tmp
echo "$hostname" >proc/sys/kernel/hostname
# The command becomes pid 2, this shell stays as the init that reaps.
echo 1 >proc/sys/kernel/ns_last_pid
status=0
# This shell is not to tell how the command ended.
exec 3>&2 2>/dev/null
(exec chroot . "$@" 2>&3 3>&-) || status=$?
exit $status
