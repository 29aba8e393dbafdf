trap 'echo exit trap' EXIT
trap 'echo got USR1' USR1
kill -USR1 $$
trap 'echo got TERM' TERM
(sleep 0.2; kill -TERM $$) &
wait $!
echo "after wait"
# A child that is killed before its exec may still have this shell's traps.
sleep 30 & victim=$!; sleep 0.2
kill $victim; wait $victim; echo "killed: $?"
sleep 30 & victim=$!; sleep 0.2
kill -KILL $victim; wait $victim; echo "killed: $?"
bash -c 'kill -SEGV $$'; echo "segv: $?"
bash -c 'trap "" TERM; kill -TERM $$; echo ignored'
timeout 0.3 sleep 30; echo "timeout: $?"
timeout -s KILL 0.3 sleep 30; echo "timeout with KILL: $?"
timeout 5 true; echo "in time: $?"
bash -c 'trap "echo int; exit 3" INT; kill -INT $$; echo not reached'; echo "int: $?"
trap 'echo "err at line"' ERR; false; trap - ERR
# A trap interrupts wait, which answers 128 + the signal. (Bash may complain that it has no record of a process that
# ended meanwhile, natively as well.)
bash -c 'trap "echo usr1" USR1; sleep 20 & p=$!; (sleep 0.3; kill -USR1 $$) & wait $p; echo "wait: $?"; kill $p' 2>/dev/null
kill -l 9 15 17
kill -0 $$ && echo alive
sleep 20 & p=$!; kill -STOP $p; sleep 0.1; cut -d' ' -f3 /proc/$p/stat; kill -CONT $p; sleep 0.1
# On a busy machine it may still be on its way to sleep.
cut -d' ' -f3 /proc/$p/stat | tr R S
kill $p; wait $p
echo "stopped and continued: $?"
