cd /tmp
cat >program.rb <<'END'
require 'open3'
require 'socket'
require 'tempfile'
require 'timeout'
queue = Queue.new
10.times.map { |i| Thread.new { 100.times { |k| queue << i * k; Thread.pass } } }.each(&:join)
puts queue.size
reader, writer = IO.pipe
child = fork { reader.close; writer.write 'child'; exit! 4 }
writer.close
puts reader.read
Process.wait child
puts $?.exitstatus
output, status = Open3.capture2e('sh', '-c', 'cat; exit 2', stdin_data: "data\n")
puts output, status.exitstatus
Tempfile.create do |file|
  file.write 'x' * 10_000
  file.flush
  file.flock File::LOCK_EX
  file.rewind
  puts File.size(file.path), file.read.size
end
Signal.trap('USR1') { puts 'signal' }
Process.kill 'USR1', $$
sleep 0.02
one, other = UNIXSocket.pair
one.puts 'pair'
puts other.gets
puts IO.select([other], nil, nil, 0.01).inspect
server = UNIXServer.new('/tmp/ruby.socket')
thread = Thread.new { client = server.accept; client.puts 'server'; client.close }
puts UNIXSocket.new('/tmp/ruby.socket').gets
thread.join
begin
  Timeout.timeout(0.05) { sleep 5 }
rescue Timeout::Error
  puts 'timeout'
end
puts Process.wait2(spawn('exit 3'))[1].exitstatus
exit! 6
END
ruby program.rb
echo "status $?"
gem --version >/dev/null && echo gem
