set -e
export CARGO_HOME=/tmp/cargo
cd /tmp
cargo new --quiet --vcs none small
cd small
cat >src/main.rs <<'END'
use std::io::Write;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, panic, thread};

fn main() {
    let (sender, receiver) = mpsc::channel();
    let send = |i: u64| {
        let sender = sender.clone();
        thread::spawn(move || (0..1000).for_each(|k| sender.send(i * k).unwrap()))
    };
    let threads: Vec<_> = (0..8).map(send).collect();
    drop(sender);
    println!("{}", receiver.iter().sum::<u64>());
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let output = Command::new("sh").args(["-c", "echo out; exit 3"]).output().unwrap();
    println!("{:?} {:?}", output.status.code(), String::from_utf8_lossy(&output.stdout));
    fs::File::create("file").unwrap().write_all(&[1; 5000]).unwrap();
    println!("{}", fs::metadata("file").unwrap().len());
    thread::sleep(Duration::from_millis(2));
    panic::set_hook(Box::new(|_| {}));
    println!("{}", panic::catch_unwind(|| panic!()).is_err());
    std::process::exit(4)
}

#[test]
fn adds() {
    assert_eq!(1 + 1, 2);
}
END
cargo build --offline --quiet
status=0
./target/debug/small || status=$?
echo "status $status"
cargo test --offline --quiet 2>&1 | sed -n 's/; finished.*//; /test result/p'
status=0
cargo run --release --offline --quiet || status=$?
echo "status $status"
touch src/main.rs
cargo build --offline 2>&1 | grep -c Compiling
rustc --edition 2021 -C debuginfo=2 -o alone src/main.rs
status=0
./alone || status=$?
echo "status $status"
