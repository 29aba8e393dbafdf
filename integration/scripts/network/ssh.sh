# sshd and its clients: commands, a terminal, copies, forwarded ports, rsync.
set -eu
mkdir -p /run/sshd /tmp/ssh /root/.ssh
cd /tmp/ssh
ssh-keygen -q -t ed25519 -N '' -f host_key
ssh-keygen -q -t ed25519 -N '' -f key
cp key.pub /root/.ssh/authorized_keys
chmod 700 /root/.ssh
chmod 600 /root/.ssh/authorized_keys
/usr/sbin/sshd -f /dev/null -o Port=2222 -o ListenAddress=127.0.0.1 -o HostKey=/tmp/ssh/host_key -o PidFile=/tmp/ssh/pid \
	-o StrictModes=no -o UsePAM=no -o Subsystem='sftp internal-sftp' -o AcceptEnv=NAME -E /tmp/ssh/log
wait_for_port 2222
cat >config <<'X'
Host box
	HostName 127.0.0.1
	Port 2222
	User root
	IdentityFile /tmp/ssh/key
	StrictHostKeyChecking no
	UserKnownHostsFile /dev/null
	LogLevel ERROR
	SendEnv NAME
X
alias_ssh() { ssh -F config "$@"; }
NAME=value alias_ssh box 'echo "$NAME" "$USER" "$HOME" "${SSH_CONNECTION##* }"; exit 7' || echo "status $?"
echo through the pipe | alias_ssh box 'tr a-z A-Z'
head -c 3000000 /dev/zero | alias_ssh box 'sha256sum'
# A terminal.
alias_ssh -tt box 'tty | sed "s/[0-9]*$/n/"; stty -a | grep -o "[-]*icanon"; [ -t 0 ] && echo a terminal' </dev/null | tr -d '\r'
printf 'echo o""ne\nexit 3\n' | alias_ssh -tt box 'stty -echo; exec bash --norc --noediting' 2>&1 | tr -d '\r' | grep -c 'one$'
# Copies.
head -c 500000 /dev/urandom >file
scp -q -F config file box:/tmp/ssh/copied
cmp file copied && echo copied
printf 'put file by_sftp\nls by_sftp\n' | sftp -q -F config -b - box:/tmp/ssh
cmp file by_sftp && echo copied
# One connection for several sessions.
alias_ssh -o ControlMaster=yes -o ControlPath=/tmp/ssh/mux -fN box
for word in one two three; do alias_ssh -o ControlPath=/tmp/ssh/mux box echo "$word" & done | sort
wait
# Ports, both ways.
(cd /usr/share && exec python3 -m http.server -b 127.0.0.1 8123 >/dev/null 2>&1) &
server=$!
wait_for_port 8123
alias_ssh -o ControlPath=/tmp/ssh/mux -O forward -L 8124:localhost:8123 box
alias_ssh -o ControlPath=/tmp/ssh/mux -O forward -R 8125:localhost:8123 box
wait_for_port 8124
for port in 8123 8124 8125; do curl -s "http://127.0.0.1:$port/common-licenses/GPL-3" | sha256sum; done
kill $server
alias_ssh -o ControlPath=/tmp/ssh/mux -O exit box 2>/dev/null
# rsync, over ssh and by its own daemon.
mkdir tree
for i in $(seq 100); do echo "$i" >"tree/$i"; done
ln -s 1 tree/link
rsync -a -e 'ssh -F /tmp/ssh/config' tree/ box:/tmp/ssh/over_ssh/
diff -r tree over_ssh && echo the same
cat >rsyncd.conf <<'X'
use chroot = no
pid file = /tmp/ssh/rsync.pid
[tree]
path = /tmp/ssh/tree
X
rsync --daemon --config=rsyncd.conf --port=8730
wait_for_port 8730
echo changed >tree/50
rsync -a rsync://localhost:8730/tree/ over_daemon/
rsync -ac --out-format=%n rsync://localhost:8730/tree/ over_ssh/ | grep -v /
diff -r tree over_daemon && echo the same
kill "$(cat rsync.pid)" "$(cat pid)"
wait_for test ! -e pid
