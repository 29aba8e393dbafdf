"""20,000 small files: created, read, deleted."""
import os

os.makedirs("/root/small")
for d in range(20):
    os.mkdir(f"/root/small/{d}")
names = [f"/root/small/{n % 20}/{n}" for n in range(20000)]
for name in names:
    with open(name, "wb") as file:
        file.write(b"x" * 100)
total = 0
for name in names:
    with open(name, "rb") as file:
        total += len(file.read())
assert total == 2_000_000
for name in names:
    os.unlink(name)
