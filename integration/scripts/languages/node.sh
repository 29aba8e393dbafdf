set -e
cd /tmp
cat >program.js <<'END'
const fs = require('fs'), child = require('child_process'), crypto = require('crypto'), net = require('net');
const path = require('path'), zlib = require('zlib');
const { Worker, isMainThread, parentPort } = require('worker_threads');
const event = (emitter, name) => new Promise((resolve) => emitter.once(name, (...args) => resolve(args)));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function main() {
    const directory = fs.mkdtempSync('/tmp/node-');
    for (let i = 0; i < 200; i++) await fs.promises.writeFile(path.join(directory, 'f' + i), 'x'.repeat(i));
    console.log((await fs.promises.readdir(directory)).length);
    const hash = crypto.createHash('sha256');
    const packed = fs.createReadStream(process.execPath, { end: 5e6 }).pipe(zlib.createGzip()).pipe(zlib.createGunzip());
    packed.on('data', (bytes) => hash.update(bytes));
    await event(packed, 'end');
    console.log(hash.digest('hex'));
    const workers = [1, 2, 3, 4].map(() => event(new Worker(__filename), 'message'));
    console.log((await Promise.all(workers)).join());
    console.log(child.execSync('echo synchronous').toString().trim());
    const cat = child.spawn('sh', ['-c', 'cat; exit 3']);
    cat.stdout.on('data', (bytes) => console.log(bytes.toString().trim()));
    cat.stdin.end('piped\n');
    console.log(await event(cat, 'close'));
    const sleeper = child.spawn('sleep', ['100']);
    sleeper.kill('SIGKILL');
    console.log(await event(sleeper, 'exit'));
    fs.writeFileSync(path.join(directory, 'forked.js'), 'process.on("message", (m) => { process.send(m + 1); process.exit(5); })');
    const forked = child.fork(path.join(directory, 'forked.js'));
    forked.send(41);
    console.log(await event(forked, 'message'), await event(forked, 'exit'));
    process.on('SIGUSR2', () => console.log('signal'));
    process.kill(process.pid, 'SIGUSR2');
    await sleep(50);
    const server = net.createServer((socket) => socket.pipe(socket)).listen(path.join(directory, 'socket'));
    await event(server, 'listening');
    const client = net.connect(path.join(directory, 'socket'));
    client.write('over a socket');
    console.log((await event(client, 'data'))[0].toString());
    client.end();
    server.close();
    const watcher = fs.watch(directory);
    fs.writeFileSync(path.join(directory, 'new'), '');
    console.log((await event(watcher, 'change'))[1]);
    watcher.close();
    process.exitCode = 9;
}

if (isMainThread) {
    main();
} else {
    let sum = 0;
    for (let i = 0; i < 1e6; i++) sum += i;
    parentPort.postMessage(sum);
}
END
status=0
node program.js || status=$?
echo "status $status"
status=0
node --eval 'process.abort()' 2>/dev/null || status=$?
echo "status $status"
echo 'console.log("from stdin")' | node -
