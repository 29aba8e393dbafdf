set -e
mkdir -p /tmp/project/src/app && cd /tmp/project
cat >src/app/Sum.java <<'END'
package app;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicLong;
public class Sum {
    static long of(int tasks) throws Exception {
        var pool = Executors.newFixedThreadPool(8);
        var sum = new AtomicLong();
        var all = new ArrayList<Future<?>>();
        for (int i = 0; i < tasks; i++) {
            final int n = i;
            all.add(pool.submit(() -> { for (int k = 0; k < 1000; k++) sum.addAndGet(n ^ k); }));
        }
        for (var one : all) one.get();
        pool.shutdown();
        if (!pool.awaitTermination(20, TimeUnit.SECONDS)) throw new IllegalStateException("the pool stays");
        return sum.get();
    }
}
END
cat >src/app/Main.java <<'END'
package app;
import java.nio.channels.FileChannel;
import java.nio.file.*;
public class Main {
    static int deeper(int n) { return deeper(n + 1) + 1; }
    public static void main(String[] arguments) throws Exception {
        System.out.println("sum " + Sum.of(200));
        Path file = Files.createTempDirectory("java").resolve("file");
        Files.writeString(file, "hello\n".repeat(1000));
        try (var channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            var map = channel.map(FileChannel.MapMode.READ_WRITE, 0, channel.size());
            map.put(0, (byte) 'J');
            map.force();
            try (var lock = channel.lock()) { System.out.println("locked " + lock.isValid()); }
        }
        System.out.println(Files.readAllLines(file).get(0) + " " + Files.size(file));
        var shell = new ProcessBuilder("sh", "-c", "read x; echo got $x; exit 3").start();
        try (var writer = shell.outputWriter()) { writer.write("line\n"); }
        System.out.println(new String(shell.getInputStream().readAllBytes()).trim() + ", status " + shell.waitFor());
        var monitor = new Object();
        var waiter = new Thread(() -> {
            synchronized (monitor) {
                try { monitor.wait(); } catch (InterruptedException e) { System.out.println("interrupted"); }
            }
        });
        waiter.start();
        Thread.sleep(50);
        waiter.interrupt();
        waiter.join();
        for (int i = 0; i < 20; i++) { var garbage = new byte[100][]; for (int k = 0; k < 100; k++) garbage[k] = new byte[100000]; }
        System.gc();
        try { Object nothing = null; nothing.toString(); } catch (NullPointerException e) { System.out.println("null"); }
        try { deeper(0); } catch (StackOverflowError e) { System.out.println("stack"); }
        Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook")));
        System.exit(7);
    }
}
END
javac -d out src/app/*.java
jar --create --file app.jar --main-class app.Main -C out .
for options in -XX:+UseG1GC "-XX:+UseSerialGC -Xmx64m" "-XX:+UseParallelGC -Xint"; do
    status=0
    java $options -jar app.jar || status=$?
    echo "$options: $status"
done
