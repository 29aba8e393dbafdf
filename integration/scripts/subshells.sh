cd /tmp
x=1; (x=2; cd /; echo "inside $x $PWD"); echo "outside $x $PWD"
echo "$(echo a; (echo b; echo c))"
diff <(seq 1 5) <(seq 1 6); echo "diff: $?"
paste <(printf '1\n2\n') <(printf 'a\nb\n')
seq 1 3 > >(sed 's/^/to a substitution: /' >part; mv part told)
until [ -e told ]; do sleep 0.01; done; cat told; rm told
coproc cat; echo ping >&"${COPROC[1]}"; read -r answer <&"${COPROC[0]}"; echo "coproc: $answer"
exec {COPROC[1]}>&-; wait $COPROC_PID; echo "coproc ends: $?"
for i in $(seq 1 20); do (exit $i) & pids[$i]=$!; done
for i in $(seq 1 20); do wait ${pids[$i]}; printf '%s ' $?; done; echo
f() { local y=$1; [ "$y" -gt 0 ] && echo "$y $(f $((y - 1)))"; }; f 8
(ulimit -n 64; ulimit -n); (umask 077; touch private; stat -c %a private); umask
nested=$(echo "$(echo "$(echo "$(echo deep)")")"); echo $nested
export EXPORTED=yes; bash -c 'echo $EXPORTED $0 $1' zero one
( exec -a renamed bash -c 'echo $0' )
test -t 0; echo "terminal: $?"
set -- "a b" c; printf '<%s>' "$@"; echo
jobs -p | wc -l; sleep 5 & jobs | sed 's/ *$//'; sleep 0.1; kill %1; wait
disown -a; times >/dev/null; echo ${#BASHPID[@]} $SHLVL
