// What the platform's tests run as a guest: freestanding, static, one scenario for each argv[1].
// Exit status 0 means that the guest saw what it should; another number is the line that failed.
typedef unsigned long u64;
typedef long i64;

static i64 call(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
    i64 ret;
    register u64 r10 __asm__("r10") = d;
    register u64 r8 __asm__("r8") = e;
    register u64 r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
}

static void leave(int code) {
    call(231, (u64)code, 0, 0, 0, 0, 0);
    __builtin_unreachable();
}

#define CHECK(what) do { if (!(what)) leave(__LINE__ % 200 + 20); } while (0)

enum { READ = 0, WRITE = 1, CLOSE = 3, MMAP = 9, MUNMAP = 11, SIGACTION = 13, GETPID = 39, CLONE = 56, EXECVE = 59,
       EXIT = 60, WAIT4 = 61, GETUID = 102, GETPPID = 110, GETTID = 186 };

static u64 pages(u64 count) { return (u64)call(MMAP, 0, count * 4096, 3, 0x22, -1ul, 0); }

static void reply(void) {
    CHECK(call(GETPPID, 0, 0, 0, 0, 0, 0) == 4242);
    CHECK(call(GETUID, 0, 0, 0, 0, 0, 0) == -33);
    CHECK(call(GETPID, 0, 0, 0, 0, 0, 0) == 1);
}

static void memory(void) {
    char *base = (char *)pages(2);
    CHECK((u64)base < -4096ul);
    CHECK(call(MUNMAP, (u64)base + 4096, 4096, 0, 0, 0, 0) == 0);
    char *end = base + 4096;
    for (int i = 1; i <= 10; i++) end[-i] = (char)('a' + i);
    CHECK(call(WRITE, 1, (u64)end - 10, 20, 0, 0, 0) == 10);
    CHECK(call(WRITE, 1, (u64)end, 20, 0, 0, 0) == -14);
    CHECK(call(READ, 0, (u64)end - 5, 20, 0, 0, 0) == 5);
    for (int i = 1; i <= 5; i++) CHECK(end[-i] == 'z');
    CHECK(call(READ, 0, 4096, 20, 0, 0, 0) == -14);
}

static void map(void) {
    char *file = (char *)call(MMAP, 0, 4096, 1, 2, 77, 0);
    CHECK((u64)file < -4096ul);
    CHECK(file[0] == 'P' && file[7] == 'e');
    CHECK(call(CLOSE, 77, 0, 0, 0, 0, 0) == 0);
    CHECK(call(CLOSE, 77, 0, 0, 0, 0, 0) == -9);
}

static void substitute(void) {
    u64 result, rdi = 1, rsi = 2, rdx = 3;
    register u64 r10 __asm__("r10") = 4;
    register u64 r8 __asm__("r8") = 5;
    register u64 r9 __asm__("r9") = 6;
    __asm__ volatile("syscall"
                     : "=a"(result), "+D"(rdi), "+S"(rsi), "+d"(rdx), "+r"(r10), "+r"(r8), "+r"(r9)
                     : "a"((u64)1500)
                     : "rcx", "r11", "memory");
    CHECK(result == 1);
    CHECK(rdi == 1 && rsi == 2 && rdx == 3 && r10 == 4 && r8 == 5 && r9 == 6);
}

static void exec(char **argv, char **envp) {
    static char one[] = "guest", two[] = "reply";
    char *args[] = {one, two, 0};
    (void)argv;
    call(EXECVE, (u64) "/any", (u64)args, (u64)envp, 0, 0, 0);
    leave(19);
}

static volatile int handled;
static void handler(int number) { handled += number; }
__asm__(".globl restorer\nrestorer: mov $15, %eax\nsyscall\n");
extern void restorer(void);

static void on_usr1(u64 flags) {
    struct { void (*handler)(int); u64 flags; void (*restorer)(void); u64 mask; } action = {
        handler, flags | 0x04000000, restorer, 0};
    CHECK(call(SIGACTION, 10, (u64)&action, 0, 8, 0, 0) == 0);
}

static void restarted(void) {
    on_usr1(0x10000000);
    CHECK(call(READ, 0, 0, 0, 0, 0, 0) == 7);
    CHECK(handled == 10);
}

static void interrupted(void) {
    on_usr1(0);
    CHECK(call(READ, 0, 0, 0, 0, 0, 0) == -4);
    CHECK(handled == 10);
}

static void no_handler(void) {
    on_usr1(0x10000000);
    CHECK(call(READ, 0, 0, 0, 0, 0, 0) == -4);
    CHECK(handled == 10);
}

static void spurious(void) {
    on_usr1(0);
    CHECK(call(READ, 0, 0, 0, 0, 0, 0) == 7);
    CHECK(handled == 0);
}

static void thread_body(void) {
    call(1600, (u64)call(GETTID, 0, 0, 0, 0, 0, 0), 1, 0, 0, 0, 0);
    call(EXIT, 0, 0, 0, 0, 0, 0);
}

// clone(2) with a stack of its own for a thread.
static i64 start_thread(void) {
    u64 *top = (u64 *)(pages(4) + 4 * 4096);
    *--top = 0;
    *--top = (u64)thread_body;
    i64 ret;
    register u64 r10 __asm__("r10") = 0;
    register u64 r8 __asm__("r8") = 0;
    __asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\tret\n1:"
                     : "=a"(ret)
                     : "a"(CLONE), "D"(0x50f00), "S"(top), "d"(0), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return ret;
}

static void identify(void) {
    CHECK(start_thread() == 2);
    i64 child = call(CLONE, 17, 0, 0, 0, 0, 0);
    if (child == 0) {
        call(1600, 3, 3, 0, 0, 0, 0);
        leave(0);
    }
    CHECK(child == 3);
    int status = -1;
    CHECK(call(WAIT4, (u64)child, (u64)&status, 0, 0, 0, 0) == child);
    CHECK(status == 0);
    // The thread may not have made its call yet.
    i64 told;
    while ((told = call(1601, (u64)child, 0, 0, 0, 0, 0)) == -11) {}
    CHECK(told == 0);
}

static void exits(void) {
    i64 child = call(CLONE, 17, 0, 0, 0, 0, 0);
    if (child == 0)
        for (;;) call(READ, 0, 0, 0, 0, 0, 0);
    int status = -1;
    CHECK(call(WAIT4, (u64)child, (u64)&status, 0, 0, 0, 0) == child);
    CHECK(status == 9);
    CHECK(call(1601, 0, 0, 0, 0, 0, 0) == 0);
}

static void spin(void) {
    i64 calls = call(1700, 0, 0, 0, 0, 0, 0);
    for (i64 i = 0; i < calls; i++) CHECK(call(GETPPID, 0, 0, 0, 0, 0, 0) == 4242);
}

// Two threads of calls at once; the second runs until the process ends.
static void stuck_body(void) {
    call(1800, 0, 0, 0, 0, 0, 0);
    call(EXIT, 0, 0, 0, 0, 0, 0);
}

static int is(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return *a == *b;
}

static void stuck(void) {
    i64 child = call(CLONE, 17, 0, 0, 0, 0, 0);
    if (child == 0) {
        stuck_body();
        leave(0);
    }
    for (int i = 0; i < 20000; i++) CHECK(call(GETPPID, 0, 0, 0, 0, 0, 0) == 4242);
    CHECK(call(1801, 0, 0, 0, 0, 0, 0) == 0);
}

__attribute__((used)) static void entry(u64 *stack) {
    char **argv = (char **)(stack + 1);
    char **envp = argv + stack[0] + 1;
    const char *name = stack[0] > 1 ? argv[1] : "";
    if (is(name, "reply")) reply();
    else if (is(name, "memory")) memory();
    else if (is(name, "map")) map();
    else if (is(name, "substitute")) substitute();
    else if (is(name, "exec")) exec(argv, envp);
    else if (is(name, "restarted")) restarted();
    else if (is(name, "interrupted")) interrupted();
    else if (is(name, "no_handler")) no_handler();
    else if (is(name, "spurious")) spurious();
    else if (is(name, "identify")) identify();
    else if (is(name, "exits")) exits();
    else if (is(name, "spin")) spin();
    else if (is(name, "stuck")) stuck();
    else leave(18);
    leave(0);
}

__asm__(".globl _start\n_start: mov %rsp, %rdi\nand $-16, %rsp\ncall entry\nhlt\n");
