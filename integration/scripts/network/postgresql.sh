# PostgreSQL: a new cluster, ten clients, a killed postmaster, and what is right after the recovery.
set -eu
cat >/tmp/as_postgres <<'X'
set -eu
cd /tmp/pg
export PATH=/usr/lib/postgresql/15/bin:$PATH PGHOST=127.0.0.1 PGPORT=5499 PGDATABASE=postgres PGDATA=/tmp/pg/data
ask() { psql -At -c "$1"; }
start() { pg_ctl -w -l log -o "-k /tmp/pg -p $PGPORT" start >/dev/null || { cat log; exit 1; }; }
initdb -A trust --no-sync >initdb.log 2>&1 || { cat initdb.log; exit 1; }
start
pgbench -q -i -s 1 2>/dev/null
pgbench -n -c 10 -j 2 -t 50 2>/dev/null | grep -E 'clients|processed|failed'
PGHOST=/tmp/pg pgbench -n -S -M prepared -c 10 -j 2 -t 200 2>/dev/null | grep -E 'processed|failed'
(pgbench -n -c 10 -j 2 -T 60 >/dev/null 2>&1 || echo 'the clients saw the end') &
clients=$!
while [ "$(ask 'select count(*) from pgbench_history')" -lt 600 ]; do sleep 0.05; done
kill -9 "$(head -1 data/postmaster.pid)"
wait $clients
# Its children notice, and go.
while pgrep -u postgres -x postgres >/dev/null; do sleep 0.05; done
start
grep -cE 'automatic recovery in progress|redo done' log
ask 'select sum(abalance) = (select sum(delta) from pgbench_history) from pgbench_accounts'
ask 'select sum(bbalance) = (select sum(tbalance) from pgbench_tellers) from pgbench_branches'
ask 'select count(*) >= 600 from pgbench_history'
ask "listen it; notify it, 'heard'" | sed 's/PID [0-9]*/PID n/'
ask "copy (select i, repeat('x', 100) from generate_series(1, 20000) i) to '/tmp/pg/table'"
md5sum <table
ask 'set max_parallel_workers_per_gather = 2; set min_parallel_table_scan_size = 0; set parallel_setup_cost = 0;
	select count(*), sum(aid) from pgbench_accounts' | tail -1
pg_ctl -m fast -w stop
X
mkdir /tmp/pg
chown postgres /tmp/pg
su postgres -s /bin/bash /tmp/as_postgres
