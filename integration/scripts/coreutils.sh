cd /tmp
mkdir -p a/b/c; touch -d '2020-02-03 04:05:06.789 UTC' a/f; touch -d '2021-02-03 UTC' a; stat -c '%n %F %a %y' a a/f
cp -a a copy; diff -r a copy && echo same; mv copy moved; ls -R; ln a/f hard; ln -s a/f soft; stat -c '%h %N' hard soft
readlink -f soft; realpath moved/../a/b; rm -r moved; chmod 4755 a/f; ls -l a/f | cut -c1-10; chmod g-w,o= a/f; stat -c %a a/f
chown 12:34 hard; stat -c '%u %g' a/f; ls -n hard | cut -d' ' -f2-4; truncate -s 1M big; du -b big; dd if=/dev/zero of=z bs=4k count=10 2>/dev/null; wc -c z
dd if=/dev/zero of=z bs=1 seek=100000 count=1 conv=notrunc 2>&1 | head -2; stat -c %s z; head -c 100 /dev/urandom | wc -c; cmp z z && echo equal
printf 'a b\nc d\n' | tee t1 | cut -d' ' -f2; tac t1; rev t1 2>/dev/null; nl t1; od -c t1; base64 t1; sha256sum t1; cksum t1; fold -w2 t1; expand t1; join t1 t1; comm t1 t1
seq 3 | xargs -n1 -P2 echo | sort; seq 10 | xargs; mktemp -u XXXX | wc -c; d=$(mktemp -d); rmdir "$d" && echo removed; rmdir a 2>&1; rm a 2>&1; cat nothing 2>&1; ls nothing 2>&1
test -e a -a -d a -a ! -L a && echo tests; [ hard -ef a/f ] && echo one file; id; whoami; groups; hostname 2>/dev/null || uname -n; uname -smo; nproc --all >/dev/null && echo nproc; arch; tty; logname 2>/dev/null
date -u -d @0; TZ=Europe/Berlin date -d '2024-07-01 12:00 UTC' +%H; sleep 0.01; df /tmp >/dev/null && echo df; sync; install -m 640 -D t1 deep/er/t; stat -c %a deep/er/t; env -i A=1 env; nice -n 5 nice; nohup true 2>/dev/null; stdbuf -o0 echo unbuffered
echo "$(</proc/self/comm)"; tr '\0' ' ' </proc/self/cmdline; cat /proc/self/status | grep -E '^(Name|Uid|Gid|Threads)'; readlink /proc/self/cwd /proc/self/root /proc/self/exe; for n in 0 1 2; do test -e /proc/self/fd/$n && echo $n; done; grep -c . /proc/filesystems >/dev/null && echo proc; head -c 0 /proc/cpuinfo; awk '/MemTotal/ {print $3}' /proc/meminfo; cat /proc/sys/kernel/hostname; processes=(/proc/[0-9]*); echo ${#processes[@]}; touch -h -d @5 soft; stat -c %Y soft; umask 027; touch masked; mkdir maskdir; stat -c %a masked maskdir
echo x >/dev/full; echo "full: $?"; cat /dev/null; head -c 3 /dev/zero | od -An -tx1; echo to-stderr >/dev/stderr; echo to-stdout >/dev/stdout; ls -l /dev/null /dev/zero | cut -c1-10; cat </dev/stdin; mkfifo p; ls -l p | cut -c1-10; echo gone >p2; exec 3<p2; rm p2; cat <&3; readlink /proc/self/fd/3; ls /proc/1/ >/dev/null && echo init
