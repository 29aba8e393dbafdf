set -e
cd /tmp
cat >threads.c <<'END'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER;
static long total, next;
static _Thread_local long mine;
static void *work(void *arg) {
	long me = (long)arg;
	for (int i = 0; i < 10000; i++) {
		pthread_mutex_lock(&lock);
		total++, mine++;
		pthread_mutex_unlock(&lock);
	}
	pthread_mutex_lock(&lock);
	while (next != me)
		pthread_cond_wait(&turn, &lock);
	next++;
	pthread_cond_broadcast(&turn);
	pthread_mutex_unlock(&lock);
	return (void *)mine;
}
int main(void) {
	pthread_t threads[16];
	long sum = 0;
	for (long i = 0; i < 16; i++)
		if (pthread_create(&threads[i], NULL, work, (void *)i))
			return 1;
	for (int i = 0; i < 16; i++) {
		void *result;
		pthread_join(threads[i], &result);
		sum += (long)result;
	}
	printf("total %ld sum %ld order %ld\n", total, sum, next);
	return total == 160000 ? 0 : 1;
}
END
gcc -O2 -Wall -Werror -pthread -o threads threads.c
./threads
gcc -O0 -g -pthread -pipe -o threads-g threads.c && ./threads-g
echo 'int main(void) { return undeclared; }' >bad.c
gcc -o bad bad.c 2>errors || echo "gcc fails: $?"
grep -c undeclared errors
ls
