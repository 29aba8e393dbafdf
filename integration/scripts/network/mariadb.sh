# MariaDB: a new data directory, clients at once, and what a kill left.
set -eu
mkdir -p /tmp/maria
mysql_install_db --no-defaults --auth-root-authentication-method=normal --datadir=/tmp/maria/data --user=mysql \
	--skip-test-db >/tmp/maria/install.log 2>&1 || { tail -20 /tmp/maria/install.log; exit 1; }
chown -R mysql /tmp/maria
start() {
	mariadbd --no-defaults --user=mysql --datadir=/tmp/maria/data --socket=/tmp/maria/sock --port=3399 \
		--bind-address=127.0.0.1 --pid-file=/tmp/maria/pid --innodb-buffer-pool-size=16M \
		--innodb-log-file-size=8M >>/tmp/maria/log 2>&1 &
	wait_for mariadb-admin --no-defaults -S /tmp/maria/sock -u root ping
}
ask() { mariadb --no-defaults -S /tmp/maria/sock -u root -N -B -e "$1"; }
start
ask "create database load_test; create user 'user'@'localhost' identified by 'secret';
	grant all on load_test.* to 'user'@'localhost';
	create table load_test.rows (id int auto_increment primary key, worker int, text varchar(200)) engine=innodb"
mariadb-slap --no-defaults --host=127.0.0.1 --port=3399 --user=user --password=secret --create-schema=load_test --no-drop \
	--concurrency=10 --iterations=1 --number-of-queries=500 \
	--query="insert into rows (worker, text) values (connection_id(), repeat('x', 100)); select count(*) from rows" \
	--delimiter=';' >/tmp/maria/slap.log 2>&1 || cat /tmp/maria/slap.log
ask 'select count(*) > 200, min(length(text)) from load_test.rows'
ask 'start transaction; insert into load_test.rows (worker) values (-1); rollback; select count(*) from load_test.rows where worker = -1'
ask "insert into load_test.rows (worker, text) values (-2, 'kept')"
kill -9 "$(cat /tmp/maria/pid)"
wait 2>/dev/null || true
start
ask 'select text from load_test.rows where worker = -2; check table load_test.rows'
mariadb-admin --no-defaults -S /tmp/maria/sock -u root shutdown
wait
