"""Figures of sockets: a line `NAME VALUE P50 P99` each, `-` where there is none. What takes long stands first.

Before and after the idle connections are made it prints `memory WHEN COUNT` and waits for a line, so that the runner can
look at the supervisor.
"""
import os
import re
import resource
import select
import socket
import subprocess
import sys
import time

CONNECTIONS = 10000


def show(name, value, p50="-", p99="-"):
    print(name, value, p50, p99, flush=True)


def output(*argv):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


def wait_for_port(port):
    """Without a connection: some servers would serve it."""
    wanted = re.compile(r":%04X [0-9A-F]+:0000 0A " % port)
    for _ in range(600):
        if any(wanted.search(open(f"/proc/net/{name}").read()) for name in ("tcp", "tcp6")):
            return
        time.sleep(0.05)
    sys.exit(f"nobody listens at {port}")


def redis():
    server = subprocess.Popen(["redis-server", "--port", "6390", "--save", "", "--logfile", "/dev/null"])
    wait_for_port(6390)
    report = output("redis-benchmark", "-p", "6390", "-n", "30000", "-c", "50", "-t", "get,set", "--csv")
    for line in report.splitlines():
        words = line.replace(chr(34), "").split(",")
        if words[0] in ("GET", "SET"):
            # rps, average, least, p50, p95, p99
            show(f"redis-{words[0]}/s", words[1], words[4] + "ms", words[6] + "ms")
    server.kill()
    server.wait()


def nginx():
    os.makedirs("/tmp/www", exist_ok=True)
    with open("/tmp/www/small", "w") as small:
        small.write("x" * 1024)
    with open("/tmp/nginx.conf", "w") as conf:
        conf.write("user root; worker_processes 1; daemon off; pid /tmp/nginx.pid; error_log /dev/null;"
                   "events {} http { access_log off; sendfile on; keepalive_requests 10000000;"
                   " client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;"
                   " uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s; server { listen 8090; root /tmp/www; } }")
    server = subprocess.Popen(["nginx", "-e", "/dev/null", "-c", "/tmp/nginx.conf"])
    wait_for_port(8090)
    report = output("wrk", "-t", "1", "-c", "50", "-d", "2", "--latency", "http://127.0.0.1:8090/small")
    field = lambda pattern: (re.findall(pattern, report) or ["-"])[0]
    show("nginx-1KB/s", field(r"Requests/sec: +(\S+)"), field(r"50% +(\S+)"), field(r"99% +(\S+)"))
    server.terminate()
    server.wait()


def iperf():
    for name, option in (("iperf3-send-Gbit/s", []), ("iperf3-receive-Gbit/s", ["-R"])):
        server = subprocess.Popen(["iperf3", "-s", "-1", "-p", "5290"], stdout=subprocess.DEVNULL)
        wait_for_port(5290)
        report = output("iperf3", "-c", "127.0.0.1", "-p", "5290", "-t", "2", "-f", "g", *option)
        rates = re.findall(r"([0-9.]+) Gbits/sec +receiver", report)
        show(name, rates[-1] if rates else "-")
        server.wait()


def quantiles(samples):
    samples.sort()
    us = lambda share: f"{samples[len(samples) * share // 100] * 1e6:.1f}us"
    return us(50), us(99)


def round_trip():
    listener = socket.create_server(("127.0.0.1", 0))
    if os.fork() == 0:
        peer, _ = listener.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while byte := peer.recv(1):
            peer.send(byte)
        os._exit(0)
    connection = socket.create_connection(listener.getsockname())
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    samples = []
    for _ in range(20000):
        begin = time.perf_counter()
        connection.send(b"x")
        connection.recv(1)
        samples.append(time.perf_counter() - begin)
    connection.close()
    os.wait()
    p50, p99 = quantiles(samples[2000:])
    show("tcp-round-trips/s", f"{18000 / sum(samples[2000:]):.0f}", p50, p99)


def connections():
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    if os.fork() == 0:
        for _ in range(3000):
            listener.accept()[0].close()
        os._exit(0)
    samples = []
    for _ in range(3000):
        begin = time.perf_counter()
        connection = socket.create_connection(listener.getsockname())
        connection.recv(1)
        connection.close()
        samples.append(time.perf_counter() - begin)
    os.wait()
    show("connections/s", f"{3000 / sum(samples):.0f}", *quantiles(samples))


def idle():
    """Connections that wait in an epoll; each is written to once, and has to be told."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = 2 * CONNECTIONS + 100 if hard == resource.RLIM_INFINITY else min(hard, 2 * CONNECTIONS + 100)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    count = min(CONNECTIONS, (wanted - 100) // 2)
    print("memory before", count, flush=True)
    sys.stdin.readline()
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    epoll, clients, servers = select.epoll(), [], {}
    for _ in range(count):
        clients.append(socket.create_connection(listener.getsockname()))
        server, _ = listener.accept()
        servers[server.fileno()] = server
        epoll.register(server, select.EPOLLIN)
    print("memory after", count, flush=True)
    sys.stdin.readline()
    samples, answered = [], 0
    for client in clients:
        begin = time.perf_counter()
        client.send(b"x")
        for fd, _ in epoll.poll(20):
            servers[fd].send(servers[fd].recv(1))
        answered += client.recv(1) == b"x"
        samples.append(time.perf_counter() - begin)
    show(f"epoll-{count}-idle-answers/s", f"{answered / sum(samples):.0f}", *quantiles(samples))
    if answered != count:
        sys.exit(f"{answered} of {count} were answered")


for figure in (redis, nginx, iperf, round_trip, connections, idle):
    figure()
