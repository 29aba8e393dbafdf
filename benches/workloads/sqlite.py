"""sqlite: 2,000 transactions of one row in WAL mode, one of 100,000 rows, and reading them."""
import sqlite3

database = sqlite3.connect("/root/load.db", isolation_level=None)
database.execute("pragma journal_mode=wal")
database.execute("pragma synchronous=normal")
database.execute("create table rows (id integer primary key, name text, number integer)")
database.execute("create index numbers on rows (number)")
for n in range(2000):
    database.execute("insert into rows (name, number) values (?, ?)", (f"single {n}", n * 7919 % 2003))
database.execute("begin")
database.executemany("insert into rows (name, number) values (?, ?)", ((f"row {n}", n * 7919 % 10007) for n in range(100000)))
database.execute("commit")
assert database.execute("select count(*) from rows where number between 100 and 5000").fetchone()[0] > 0
assert database.execute("select count(distinct name) from rows").fetchone()[0] == 102000
database.close()
