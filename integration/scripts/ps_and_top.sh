# Pid 1 differs by runtime; the other ends of a pipe may not have got to their exec yet.
ours() { awk -v field="$1" '$1 != 1 && $field ~ /^(bash|ps|top|sleep)$/' | sed 's/  */ /g; s/^ //; s/ *$//'; }
ps -e -o pid=,ppid=,state=,comm= >/tmp/list; ours 4 </tmp/list
ps >/tmp/list; head -1 /tmp/list
ps aux >/tmp/list; head -1 /tmp/list
awk 'NR > 1 && $2 != 1 { print $1, $2, (NF >= 11), $11 }' /tmp/list
sleep 60 & sleeper=$!
sleep 0.1
ps -p $sleeper -o pid=,comm=,args=,state=,user=,ni=,tty=,nlwp= | sed 's/  */ /g'
ps -o pid= --ppid $$ >/tmp/list; wc -l </tmp/list
ps -C sleep -o pid= | wc -l
pgrep -x sleep; pkill -x sleep; wait $sleeper; echo "pkill: $?"
top -bn1 >/tmp/list
sed -n '1s/ .*//p; 2s/[0-9]\+/N/gp; 7p' /tmp/list | sed 's/ *$//; s/  */ /g'
sed 1,7d /tmp/list | awk '{ print $1, $2, NF, $NF }' | ours 4
sed -n '3,5p' /tmp/list | sed 's/[0-9.]\+/N/g; s/  */ /g; s/,N/, N/g; s/: N/:N/g'
free | awk 'NR == 1 { print NF } NR > 1 { print $1, NF }'
uptime | grep -c 'load average'
vmstat | sed -n 2p | wc -w
pidof bash >/tmp/list; wc -w </tmp/list
kill -l >/dev/null; w -h | wc -l; pstree 2>/dev/null; pwdx $$ | sed 's/.*: //'
tr '\0' '\n' </proc/$$/environ | grep -c ^PATH=; pmap $$ | tail -1 | awk '{ print $1 }'
