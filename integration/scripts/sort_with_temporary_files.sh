cd /tmp
seq 1 400000 | awk '{print ($1 * 7919) % 400009, $1}' >in
sort -S 1M -T /tmp -n in | md5sum
sort -S 1M -T /tmp --parallel=2 --compress-program=gzip -k2,2rn in | md5sum
sort -u -S 1M -k1,1n in | wc -l
split -n l/7 in part.; for p in part.*; do sort -n $p -o $p; done; sort -m -n part.* | md5sum
shuf --random-source=<(yes) in | md5sum
ls /tmp
