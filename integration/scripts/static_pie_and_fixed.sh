set -e
cd /tmp
cat >p.c <<'END'
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
static int initialised = 41;
static int zero[5000];
__attribute__((constructor)) static void before(void) { initialised++; }
int main(int argc, char **argv, char **envp) {
	const ElfW(Phdr) *ph = (const void *)getauxval(AT_PHDR);
	int loads = 0, interp = 0;
	for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++) {
		loads += ph[i].p_type == PT_LOAD;
		interp += ph[i].p_type == PT_INTERP;
	}
	printf("%d %d %s argc=%d last=%s\n", initialised, zero[4999], argv[0], argc, argv[argc - 1]);
	printf("loads=%d interp=%d pagesz=%lu entry=%d random=%d base=%d secure=%lu uid=%lu\n", loads > 1, interp,
	       getauxval(AT_PAGESZ), getauxval(AT_ENTRY) != 0, getauxval(AT_RANDOM) != 0, getauxval(AT_BASE) != 0,
	       getauxval(AT_SECURE), getauxval(AT_UID));
	printf("execfn=%s aligned=%d\n", (char *)getauxval(AT_EXECFN), ((unsigned long)__builtin_frame_address(0) & 15) == 0);
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	int found = 0;
	while (fgets(line, sizeof line, maps))
		found += strstr(line, "/tmp/") != 0;
	printf("mapped=%d\n", found > 1);
	return argc + 10;
}
END
gcc -o pie -fPIE -pie p.c; gcc -o fixed -no-pie p.c; gcc -o static -static p.c; gcc -o static-pie -static-pie -fPIE p.c
for kind in pie fixed static static-pie; do
  echo "== $kind"; status=0; ./$kind one "two words" || status=$?; echo "status $status"
done
gcc -shared -fPIC -o libx.so -xc - <<<'int x(void) { return 5; }'
echo '#include <stdio.h>
#include <dlfcn.h>
int main(void) { void *l = dlopen("/tmp/libx.so", RTLD_NOW); int (*x)(void) = (int (*)(void))dlsym(l, "x"); printf("dlopen %d\n", x()); return dlclose(l); }' >d.c
gcc -o d d.c && ./d
/lib64/ld-linux-x86-64.so.2 /tmp/pie by-the-loader || echo "status $?"
cp pie '#copy'; ./'#copy' || echo "status $?"
strip -s fixed -o stripped && { ./stripped || echo "status $?"; }
printf '#!/bin/bash -e\necho "script $0 $*"; exit 4\n' >s; chmod +x s; ./s a b || echo "status $?"
printf '#!/tmp/s with\n' >s2; chmod +x s2; ./s2 c || echo "status $?"
printf 'echo no shebang $1\n' >s3; chmod +x s3; ./s3 x
