# The numbers of terminals depend on how soon the one before is gone.
terminals() { sed 's,/dev/pts/[0-9]*,/dev/pts/N,'; }
# Waits until a command's output has a line: until_line LINE COMMAND...
until_line() {
	local line=$1; shift
	for try in $(seq 100); do
		"$@" 2>/dev/null | grep -qx "$line" && return
		sleep 0.1
	done
	echo "no line '$line' from: $*"; "$@"
}
export TERM=xterm
tmux -f /dev/null new-session -d -s s -x 80 -y 24 'bash --norc'; echo "tmux: $?"
tmux send-keys -t s 'echo hel''lo; tty; stty size' Enter
until_line '24 80' tmux capture-pane -p -t s
tmux capture-pane -p -t s | grep -x -e hello -e '/dev/pts/.*' -e '24 80' | terminals
tmux split-window -t s 'sleep 100'
until_line '1 80x11 sleep' tmux list-panes -t s -F '#{pane_index} #{pane_width}x#{pane_height} #{pane_current_command}'
tmux resize-window -t s -x 100 -y 30
until_line '1 100x14' tmux list-panes -t s -F '#{pane_index} #{pane_width}x#{pane_height}'
tmux kill-server; echo "kill: $?"
until_line gone sh -c 'pgrep -x sleep >/dev/null || echo gone'
screen -dmS w bash --norc; echo "screen: $?"
until_line 'N.w' sh -c "screen -ls | sed -n 's/^\t[0-9]*\.w.*/N.w/p'"
screen -S w -X stuff 'echo scr''een >/tmp/out; tty >>/tmp/out; echo done >>/tmp/out\n'
until_line done cat /tmp/out
terminals </tmp/out
screen -S w -X quit; echo "quit: $?"
until_line 'No Sockets found in .*' screen -ls
script -qc 'tty; stty size; echo out' /dev/null </dev/null | terminals
