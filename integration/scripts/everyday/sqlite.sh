cd /tmp
sqlite3 db 'pragma journal_mode=wal; create table t(id integer primary key, who int, text);'
# Inserts by WHO, 25 to a transaction: writer WHO COUNT
writer() {
	awk -v who="$1" -v count="$2" 'BEGIN {
		print ".timeout 60000"
		for (i = 0; i < count; i++) {
			if (i % 25 == 0) print "begin immediate;"
			printf "insert into t(who, text) values(%d, \"row %d of many, as long as rows are\");\n", who, i
			if (i % 25 == 24) print "commit;"
		}
	}' | sqlite3 db
}
writer 1 25000 & first=$!
writer 2 25000 & second=$!
wait $first; echo "first: $?"
wait $second; echo "second: $?"
sqlite3 db 'select who, count(*) from t group by who'
for round in 1 2 3 4 5; do
	writer 3 1000000 >/dev/null 2>&1 &
	sleep 0.4
	pkill -9 -x sqlite3
	wait 2>/dev/null
	sqlite3 db 'pragma integrity_check; select count(*) % 25 from t'
done
sqlite3 db 'select count(*) > 50000 from t; pragma wal_checkpoint(truncate)' | cut -d'|' -f1
ls db*
