//! The network that CNI plugins make: pods reach each other and the host, which reaches them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use integration::containerd::Containerd;

use crate::client::Cri;
use crate::messages::NamespaceOption;
use crate::{each, pods};

/// A page by HTTP, from the host.
fn page(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.write_all(b"GET /page HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

fn address(cri: &Cri, pod: &str) -> String {
    cri.pod_status(pod).network.expect("an address").ip
}

/// Answers one connection on the host.
fn answer_once(listener: TcpListener) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let _ = stream.read(&mut [0; 1024]);
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nfrom the host\n").expect("write");
    })
}

fn talk(containerd: &Containerd, cri: &Cri, handler: &str) {
    let serving = pods::run(containerd, cri, handler, NamespaceOption::default());
    let server = "mkdir -p /tmp/www; echo from the pod >/tmp/www/page; exec httpd -f -p 80 -h /tmp/www";
    serving.start(cri, "server", server);
    let at = address(cri, &serving.id);
    let here = format!("{at}:80");
    containerd.eventually("the pod serves the host", || page(&here).as_deref() == Some("from the pod\n"));
    let asking = pods::run(containerd, cri, handler, NamespaceOption::default());
    let client = asking.start(cri, "client", "exec sleep 1000");
    let own = address(cri, &asking.id);
    assert_eq!(cri.sh(&client, &format!("wget -q -O - http://{at}/page")), ("from the pod\n".to_owned(), 0));
    let shown = cri.sh(&client, "ip -4 addr show dev eth0").0;
    assert!(shown.contains(&format!("inet {own}/")), "{shown}");
    // The first address of the pods' network is the bridge's own.
    let gateway = own.rsplit_once('.').map(|(network, _)| format!("{network}.1")).expect("an address");
    let listener = TcpListener::bind("0.0.0.0:0").expect("bind");
    let port = listener.local_addr().expect("name").port();
    let answering = answer_once(listener);
    let asked = cri.sh(&client, &format!("timeout 20 wget -q -O - http://{gateway}:{port}/"));
    assert_eq!(asked, ("from the host\n".to_owned(), 0), "by {gateway}");
    answering.join().expect("it has answered");
    asking.remove(cri);
    serving.remove(cri);
}

#[test]
fn pods_talk_over_the_bridge_and_with_the_host() {
    each(|containerd, cri, handler| talk(containerd, cri, handler));
}
