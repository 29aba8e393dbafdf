cd /tmp
cat >program.php <<'END'
<?php
$name = tempnam("/tmp", "php");
file_put_contents($name, str_repeat("a", 100000));
echo filesize($name), "\n";
$file = fopen($name, "r+");
var_dump(flock($file, LOCK_EX | LOCK_NB));
fclose($file);
unlink($name);
$process = proc_open(["sh", "-c", "cat; exit 3"], [["pipe", "r"], ["pipe", "w"]], $pipes);
fwrite($pipes[0], "piped\n");
fclose($pipes[0]);
echo stream_get_contents($pipes[1]), proc_close($process), "\n";
echo shell_exec("echo shell");
$pid = pcntl_fork();
if (!$pid) exit(5);
pcntl_waitpid($pid, $status);
echo pcntl_wexitstatus($status), "\n";
pcntl_async_signals(true);
pcntl_signal(SIGUSR1, function () { echo "signal\n"; });
posix_kill(getmypid(), SIGUSR1);
$pair = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
fwrite($pair[0], "pair\n");
echo fgets($pair[1]);
echo count(scandir("/etc")), " ", strlen(random_bytes(10)), " ", md5_file(PHP_BINARY), "\n";
for ($i = 0; $i < 1e6; $i++) $all[] = $i;
echo count($all), "\n";
exit(8);
END
php program.php
echo "status $?"
echo '<?php echo "from stdin\n";' | php
