//! `palisade metrics-server`: metrics of all sandboxes of this machine for Prometheus.
#![forbid(unsafe_code)]

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use runtime_oci::Store;
use runtime_watch::{prometheus, sample};
use tiny_http::{Header, Method, Request, Response, Server};

/// Serve metrics of all sandboxes of this machine, those of containerd among them, to Prometheus
#[derive(Debug, Parser)]
#[command(name = "palisade metrics-server", version)]
struct Args {
    /// Where to listen; whoever reaches it may read, so leave it to this machine or guard it
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9642")]
    listen: SocketAddr,
    /// Directory with the state of containers, as for the other commands
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// The content type of Prometheus's text format.
const TEXT_FORMAT: &[u8] = b"text/plain; version=0.0.4; charset=utf-8";
const FAILED: u8 = 125;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { FAILED } else { 0 });
        }
    };
    let server = match Server::http(args.listen) {
        Ok(server) => server,
        Err(error) => {
            let address = args.listen;
            let _ = writeln!(
                std::io::stderr(),
                "palisade: --listen {address}: {error}; choose another address or port, or end who has it"
            );
            return ExitCode::from(FAILED);
        }
    };
    let _ = writeln!(std::io::stderr(), "palisade: metrics at http://{}/metrics", server.server_addr());
    let root = args.root.unwrap_or_else(Store::default_root);
    for request in server.incoming_requests() {
        answer(request, &root);
    }
    ExitCode::SUCCESS
}

fn answer(request: Request, root: &std::path::Path) {
    let path = request.url().split('?').next().unwrap_or_default();
    let response = match (request.method(), path) {
        (Method::Get | Method::Head, "/metrics") => {
            let text = prometheus::text(&sample::all(&sample::stores(root)));
            let response = Response::from_string(text);
            match Header::from_bytes(b"Content-Type", TEXT_FORMAT) {
                Ok(header) => response.with_header(header),
                Err(()) => response,
            }
        }
        (Method::Get | Method::Head, "/") => Response::from_string("Palisade: see /metrics\n"),
        (Method::Get | Method::Head, _) => {
            Response::from_string("there is nothing here: see /metrics\n").with_status_code(404)
        }
        _ => Response::from_string("only GET and HEAD\n").with_status_code(405),
    };
    // A client that is gone needs no answer.
    let _ = request.respond(response);
}
