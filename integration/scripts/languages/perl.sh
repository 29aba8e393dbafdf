cd /tmp
cat >program.pl <<'END'
use strict;
use threads;
use Thread::Queue;
use Fcntl qw(:flock);
use File::Find;
use File::Temp qw(tempfile);
use IPC::Open3;
use IPC::SysV qw(IPC_PRIVATE IPC_CREAT IPC_RMID S_IRUSR S_IWUSR);
use POSIX ();
use Socket;
use Time::HiRes qw(alarm sleep);
$| = 1;
my $queue = Thread::Queue->new;
$_->join for map { threads->create(sub { $queue->enqueue($_) for 1 .. 50 }) } 1 .. 6;
print $queue->pending, "\n";
my $child = fork;
POSIX::_exit(3) unless $child;
waitpid $child, 0;
print $? >> 8, "\n";
my $shell = open3(my $in, my $out, undef, 'sh', '-c', 'cat; exit 2');
print $in "piped\n";
close $in;
print <$out>;
waitpid $shell, 0;
print $? >> 8, "\n";
$SIG{ALRM} = sub { print "alarm\n" };
alarm 0.02;
sleep 1;
socketpair my $one, my $other, AF_UNIX, SOCK_STREAM, PF_UNSPEC;
syswrite $one, "pair\n";
print scalar <$other>;
my ($file, $name) = tempfile();
flock $file, LOCK_EX;
print $file "z" x 1000;
close $file;
print -s $name, "\n";
my $found = 0;
find(sub { $found++ }, "/usr/share/perl5");
print "$found\n";
my $shared = shmget(IPC_PRIVATE, 100, S_IRUSR | S_IWUSR | IPC_CREAT) // die "shmget: $!";
shmwrite $shared, "shared", 0, 6;
shmread $shared, my $read, 0, 6;
shmctl $shared, IPC_RMID, 0;
print "$read\n";
my $pid = open(my $kid, "-|") // die;
unless ($pid) { print "from the child\n"; exit 0 }
print <$kid>;
close $kid;
print join(" ", glob("/etc/pass*")), "\n", `echo backquoted`;
exec "sh", "-c", "exit 9";
END
perl program.pl
echo "status $?"
