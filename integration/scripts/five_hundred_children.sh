for i in $(seq 1 500); do
  bash -c "exit $((i % 256))"
  [ $? -eq $((i % 256)) ] || echo "child $i: $?"
done
for i in $(seq 1 100); do /bin/true || echo "true: $?"; /bin/false && echo "false: $?"; done
echo done
