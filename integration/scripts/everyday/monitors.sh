# What differs from machine to machine becomes N; the init differs by runtime.
numbers() { sed 's/[0-9][0-9.]*/N/g; s/  */ /g; s/ $//'; }
sleep 1000 & sleeper=$!
(sleep 0.1 & exec sleep 1000) & parent=$!
python3 -c '
import threading, time
for n in range(3): threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
print("threads", flush=True)
time.sleep(1000)' >/tmp/python.out & python=$!
until [ -s /tmp/python.out ]; do sleep 0.1; done
sleep 0.3
echo "# ps"
ps -o ppid=,stat=,nlwp=,comm= --ppid $$ | grep -E 'sleep|python' | sed 's/  */ /g'
ps -o stat=,comm=,args= --ppid $parent
ps -L -o stat= -p $python | sort | uniq -c
ps axo pid,ppid,user,group,ni,pri,tty,rtprio,cls,psr | sed -n '1p; /^ *2 /p' | awk '{ print $1, $2, $3, $4, $5, $6, $7, $8, $9 }'
echo "# top"
top -bn1 | sed -n 7p; top -b -n1 -p $sleeper | tail -1 | awk '{ print NF, $2, $8, $NF }'; top -Hbn1 -p $python | grep -c python3
echo "# htop"
(sleep 1; printf q) | TERM=xterm script -qc 'stty rows 40 cols 120; htop -d 5' /dev/null | tr '\033' '\n' | grep -o 'sleep 1000' | sort -u
echo "# free, vmstat, uptime"
free | awk '{ print $1, NF }'; vmstat | tail -1 | wc -w; vmstat -s | numbers | sed 's/^ //'; uptime | grep -c 'load average'
echo "# lsof"
exec 7>/tmp/held 8</dev/null; mkfifo /tmp/fifo; exec 9<>/tmp/fifo
lsof -p $$ | awk 'NR > 1 { print $4, $5, $9 }' | grep -E '^(cwd|rtd|txt|[789])' | sort
lsof /tmp/held | awk 'NR > 1 { print $1, $4, $9 }'; lsof -t /usr/bin/sleep | sort -n | wc -l
fuser /tmp/held 2>/dev/null | wc -w
echo "# pstree, pmap, pwdx, prtstat"
pstree -A $$ >/tmp/tree; head -4 /tmp/tree; pmap -x $sleeper | tail -1 | awk '{ print $1, NF }'; pwdx $sleeper | sed 's/.*: //'; prtstat $sleeper | sed -n 1p
echo "# lscpu, nproc, findmnt, systemd-detect-virt, lsblk"
lscpu | grep -E '^(Architecture|CPU\(s\)|On-line|Vendor|Model name|Thread|Core|Socket|NUMA)' | sed 's/:  */: /'; lscpu -p=CPU,CORE,SOCKET,NODE | grep -v '^#'; nproc
findmnt -n -o TARGET,FSTYPE /proc; findmnt -n -o FSTYPE /; findmnt -n -o TARGET -T /dev/pts/ptmx
systemd-detect-virt >/dev/null; echo "virtual: $?"; lsblk >/dev/null; echo "lsblk: $?"
echo "# signals by name"
killall -0 sleep; echo "killall: $?"; pkill -P $parent; kill $sleeper $parent $python; wait; echo "killed"
