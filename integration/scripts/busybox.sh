set -u
busybox | head -1 | cut -d' ' -f1
cd /tmp
echo one two three | awk '{ print $2 }'; seq 1 5 | sed -n '2,3p'; printf 'b\na\n' | sort
(sleep 10 & kill $!; wait $!; echo "killed: $?") 2>/dev/null
mkdir d; for i in 1 2 3; do echo $i >d/$i; done; tar cf d.tar d; rm -r d; tar xf d.tar; cat d/*; find d | sort | md5sum
echo hello | gzip | gunzip; yes | head -1000 | wc -l; trap 'echo trapped' USR1; kill -USR1 $$; cat <<END
here $((1 + 1))
END
ls -la / | awk '{ print $1, $NF }' | grep -v -E ' (\.|\.\.|proc|sys|dev)$'; id; uname -s; ps | awk 'NR == 1'; pwd; x=$(echo sub); echo $x; test -f /bin/busybox && echo there
sh -c 'exit 42'; echo $?; timeout 1 sleep 10; echo $?; vi --help 2>&1 | head -1 | cut -d' ' -f1; find / -xdev | grep -v -E '^/(proc|sys|dev|tmp)(/|$)' | sort | md5sum; which ls; readlink -f /bin/ls; df / >/dev/null && echo df; free | head -1; dd if=/dev/zero bs=1k count=3 2>/dev/null | wc -c; od -An -c </etc/group | head -1; hostname; mktemp -d | wc -c; top -bn1 | head -1 | cut -c1-4; mkfifo f; (echo fifo >f) & cat f; wait; stat -c %a /tmp; xargs -n1 echo <<END
1 2
END
