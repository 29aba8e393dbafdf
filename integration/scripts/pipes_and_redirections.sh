set -u
cd /tmp
seq 1 1000 | sort -rn | head -3 | tr '\n' ' '; echo
yes | head -n 100000 | wc -l
printf 'b\na\nc\n' | sort | tee sorted | cat -n
false | true; echo "last of a pipe: $?"
set -o pipefail; false | true; echo "with pipefail: $?"; set +o pipefail
echo out; echo err >&2
{ echo one; echo two >&2; } >both 2>&1; cat both
echo appended >>both; wc -l <both
exec 5>five; echo to-five >&5; exec 5>&-; cat five
exec 6<sorted; read -r -u 6 first; echo "first=$first"; exec 6<&-
echo x | { read -r v; echo "v=$v"; }
for i in 1 2 3; do echo $i; done | while read -r n; do echo "n=$n"; done
mkfifo pipe; (echo through-a-fifo >pipe &); cat pipe
(exit 7) | cat; echo "${PIPESTATUS[@]}"
seq 1 200000 | (head -1; cat >/dev/null); echo "${PIPESTATUS[0]}"
yes 2>/dev/null | head -1 >/dev/null; echo "${PIPESTATUS[0]}"
set -C; echo 1 >noclobber; echo 2 >noclobber; echo "noclobber: $?"; cat noclobber
