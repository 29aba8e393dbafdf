//! A process's streams over CRI's streaming endpoint: a WebSocket with Kubernetes' protocol v4.channel.k8s.io, whose
//! messages begin with the number of a stream.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::{Error, Message};

const PROTOCOL: &str = "v4.channel.k8s.io";
/// Numbers of the streams.
const INPUT: u8 = 0;
const OUTPUT: u8 = 1;
const ERRORS: u8 = 2;
const STATUS: u8 = 3;
/// A silent server has forgotten us.
const LIMIT: Duration = Duration::from_secs(30);

/// What came of a process.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) output: String,
    pub(crate) errors: String,
    pub(crate) status: i32,
}

/// Gives a process that waits at `url` some input, and takes what it says until its end.
pub(crate) fn converse(url: &str, input: &str) -> Finished {
    let address = url.strip_prefix("http://").expect("not encrypted");
    let (host, _) = address.split_once('/').expect("a path");
    let tcp = TcpStream::connect(host).expect("the streaming server");
    tcp.set_read_timeout(Some(LIMIT)).expect("a socket");
    let mut request = format!("ws://{address}").into_client_request().expect("a request");
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(PROTOCOL));
    let (mut socket, _) = tungstenite::client(request, tcp).expect("a WebSocket");
    let message = [&[INPUT], input.as_bytes()].concat();
    socket.send(Message::binary(message)).expect("it listens");
    let mut finished = Finished::default();
    loop {
        let message = match socket.read() {
            Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => return finished,
            Ok(Message::Binary(bytes)) => bytes,
            Ok(_) => continue,
            Err(error) => panic!("{error} after {finished:?}"),
        };
        let Some((&stream, bytes)) = message.split_first() else { continue };
        match stream {
            OUTPUT => finished.output += &String::from_utf8_lossy(bytes),
            ERRORS => finished.errors += &String::from_utf8_lossy(bytes),
            STATUS => finished.status = exit_code(bytes),
            other => panic!("stream {other}"),
        }
    }
}

/// The exit code in a Status of Kubernetes' API.
fn exit_code(status: &[u8]) -> i32 {
    let status: Value = serde_json::from_slice(status).expect("JSON");
    if status["status"] == "Success" {
        return 0;
    }
    let code = status["details"]["causes"][0]["message"].as_str().and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("{status}"))
}
