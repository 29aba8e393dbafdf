# Makes what the workloads read, in /bench of a root: the sources of two projects, a repository, a tree of files.
set -eu
mkdir -p /bench/c/src /bench/java /bench/tree /bench/repository
cd /bench/c
for i in $(seq 1 120); do
	cat >"src/part$i.c" <<-END
		#include <ctype.h>
		#include <errno.h>
		#include <math.h>
		#include <stdio.h>
		#include <stdlib.h>
		#include <string.h>
		#include <unistd.h>
		#include "parts.h"
		static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
		int part$i(int x)
		{
			int numbers[64];
			char text[256];
			for (int i = 0; i < 64; i++) numbers[i] = (x * 7919 + i * 104729) % ($i + 97);
			qsort(numbers, 64, sizeof *numbers, compare);
			snprintf(text, sizeof text, "%d %d %s", numbers[0], numbers[63], strerror(numbers[1] % 100));
			for (char *c = text; *c; c++) *c = toupper((unsigned char)*c);
			return (int)strlen(text) + numbers[32] + (int)sqrt((double)x);
		}
	END
done
for i in $(seq 1 120); do echo "int part$i(int);"; done >src/parts.h
{
	echo '#include <stdio.h>'
	echo '#include "parts.h"'
	echo 'int main(void) { int s = 0;'
	for i in $(seq 1 120); do echo "s += part$i($i);"; done
	echo 'printf("%d\n", s); return 0; }'
} >src/main.c
cat >Makefile <<'END'
objects := $(patsubst src/%.c,build/%.o,$(wildcard src/*.c))
program: $(objects)
	@$(CC) -o $@ $^ -lm
build/%.o: src/%.c src/parts.h
	@mkdir -p build; $(CC) -O1 -c -o $@ $<
END
tar -C /bench -czf /bench/c.tar.gz c

cd /bench/java
for i in $(seq 1 40); do
	cat >"Part$i.java" <<-END
		import java.util.*;
		import java.util.stream.*;
		class Part$i implements Comparable<Part$i> {
		    record Entry(String name, int number) {}
		    private final Map<String, List<Entry>> entries = new TreeMap<>();
		    void add(String name, int number) {
		        entries.computeIfAbsent(name, k -> new ArrayList<>()).add(new Entry(name, number));
		    }
		    int sum() { return entries.values().stream().flatMap(List::stream).mapToInt(Entry::number).sum(); }
		    public int compareTo(Part$i other) { return Integer.compare(sum(), other.sum()); }
		    String names() { return entries.keySet().stream().collect(Collectors.joining(",")); }
		}
	END
done

cd /bench/repository
for d in $(seq 1 100); do
	mkdir -p "dir$((d % 10))/sub$d"
	for f in $(seq 1 20); do seq "$((d * f))" "$((d * f + 60))" >"dir$((d % 10))/sub$d/file$f"; done
done
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@example.org
git -c init.defaultBranch=main init -q
git add .
git commit -qm 'First commit'
for i in $(seq 1 20); do
	echo "change $i" >>"dir$((i % 10))/sub$i/file1"
	git commit -qam "Change $i"
done

python3 - <<'END'
import os
for d in range(500):
    path = f"/bench/tree/{d % 20}/{d}"
    os.makedirs(path)
    for f in range(100):
        with open(f"{path}/file{f}", "w") as file:
            file.write(str(f))
END

# 5,000 files to be unpacked.
mkdir /tmp/files
for d in $(seq 1 50); do
	mkdir "/tmp/files/$d"
	for f in $(seq 1 100); do echo "$d $f" >"/tmp/files/$d/$f"; done
done
tar -C /tmp -cf /bench/files.tar files
rm -r /tmp/files /bench/c
