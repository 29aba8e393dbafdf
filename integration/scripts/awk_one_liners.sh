awk 'BEGIN { for (i = 0; i < 5; i++) printf "%d ", i * i; print "" }'
seq 1 100 | awk '{ s += $1 } END { print s, NR }'
awk -F: '{ print $1 }' /etc/passwd | sort | head -5
awk 'BEGIN { "echo from a command" | getline x; print x; print "to a command" | "cat"; close("cat") }'
awk 'BEGIN { while ((getline line < "/etc/group") > 0) n++; print (n > 5) }'
awk 'BEGIN { print ENVIRON["HOME"]; system("exit 3") ; print "after" }'
printf '3 c\n1 a\n2 b\n' | awk '{ print $2 | "sort -r" }'
awk 'BEGIN { print length(sprintf("%1000s", "")) > "/tmp/len" }'; cat /tmp/len
awk 'BEGIN { exit 9 }'; echo $?
