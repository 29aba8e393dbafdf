bwrap --ro-bind / / id; echo "id: $?"
bwrap --ro-bind / / touch /etc/new 2>&1; echo "read-only: $?"
bwrap --ro-bind / / --tmpfs /tmp sh -c 'echo text >/tmp/file; cat /tmp/file'; echo "tmpfs: $?"; ls /tmp
mkdir /tmp/data; echo shared >/tmp/data/file
bwrap --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 --bind /tmp/data /data --dir /work \
	--chdir /work --setenv NAME value sh -c 'pwd; echo $NAME; cat /data/file; echo back >/data/answer; ls /; cat /etc/passwd' 2>&1
cat /tmp/data/answer
bwrap --ro-bind / / --unshare-uts --hostname inner hostname; hostname
bwrap --ro-bind / / --dev-bind /dev /dev --proc /proc sh -c 'echo x >/dev/null; cat /proc/self/comm'; echo "proc: $?"
bwrap --ro-bind / / --unshare-ipc --unshare-cgroup true; echo "ipc: $?"
bwrap --ro-bind / / sh -c 'exit 7'; echo "status: $?"
