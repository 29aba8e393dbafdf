# Waits until a command succeeds.
wait_for() {
	for _ in $(seq 600); do
		if "$@" >/dev/null 2>&1; then return; fi
		sleep 0.05
	done
	echo "not in half a minute: $*"
	exit 1
}
# Waits until somebody listens at the TCP port $1, without a connection that the server would have to serve.
wait_for_port() {
	wait_for grep -qE "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$1") [0-9A-F]+:0000 0A " /proc/net/tcp /proc/net/tcp6
}
