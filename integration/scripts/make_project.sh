set -e
mkdir /tmp/project; cd /tmp/project
mkdir src
for i in $(seq 1 12); do
  printf 'int part%d(int x) { return x * %d; }\n' $i $i >src/part$i.c
done
{ for i in $(seq 1 12); do echo "int part$i(int);"; done; } >src/parts.h
{
  echo '#include <stdio.h>'; echo '#include "parts.h"'; echo 'int main(void) { int s = 0;'
  for i in $(seq 1 12); do echo "s += part$i(2);"; done
  echo 'printf("%d\n", s); return 0; }'
} >src/main.c
cat >Makefile <<'END'
objects := $(patsubst src/%.c,build/%.o,$(wildcard src/*.c))
program: build/libparts.a build/main.o
	$(CC) -o $@ build/main.o -Lbuild -lparts
build/libparts.a: $(filter-out build/main.o,$(objects))
	ar rcs $@ $^
build/%.o: src/%.c src/parts.h | build
	@$(CC) -O1 -c -o $@ $<
build:
	mkdir $@
.PHONY: clean
clean:
	rm -rf build program
END
make -j2 | sort
./program
make -j2
sleep 0.01; touch src/part3.c; make -j2; ./program
make -q && echo up to date
touch src/parts.h; make -q || echo "stale: $?"
make clean
! make -j2 nothing 2>&1
ls
