//! Events for containerd, one after the other in the order in which they happened.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use containerd_shim_protos::protobuf::MessageFull;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::well_known_types::timestamp::Timestamp;
use containerd_shim_protos::shim::event::Envelope;
use containerd_shim_protos::shim::events::ForwardRequest;
use containerd_shim_protos::shim_async::{Client, EventsClient};
use containerd_shim_protos::ttrpc::context;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Most events that wait for containerd to come back; further ones are lost.
const MAX_WAITING: usize = 4096;
/// containerd drops connections that wait longer itself.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Between attempts to reach containerd.
const PAUSE: Duration = Duration::from_millis(250);
/// How long an event is worth telling: containerd asks for the state of everything when it comes up again.
const ATTEMPTS: usize = 240;

/// Takes events, from any thread.
#[derive(Clone)]
pub(crate) struct Events {
    queue: mpsc::UnboundedSender<Envelope>,
    waiting: Arc<AtomicUsize>,
    namespace: Arc<str>,
}

impl Events {
    /// Starts telling containerd.
    pub(crate) fn start(namespace: &str) -> Self {
        let (queue, events) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let address = std::env::var_os("TTRPC_ADDRESS").unwrap_or_default();
        tokio::spawn(tell(PathBuf::from(address), events, Arc::clone(&waiting)));
        Self { queue, waiting, namespace: namespace.into() }
    }

    /// containerd's namespace, to which they belong.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Tells of something that happened just now.
    pub(crate) fn publish<M: MessageFull>(&self, topic: &str, event: &M) {
        if self.waiting.load(Ordering::Relaxed) >= MAX_WAITING {
            return tracing::warn!(topic, "an event is lost: containerd does not take any");
        }
        let mut envelope = Envelope::new();
        envelope.set_timestamp(timestamp(SystemTime::now()));
        envelope.set_namespace(self.namespace.to_string());
        envelope.set_topic(topic.to_owned());
        envelope.set_event(any(event));
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _ = self.queue.send(envelope);
    }

    /// Waits, not for long, until everything has been told.
    pub(crate) async fn flush(&self, limit: Duration) {
        let told = async {
            while self.waiting.load(Ordering::Relaxed) > 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(limit, told).await;
    }
}

/// A message in the wrapping that names its type.
pub(crate) fn any<M: MessageFull>(message: &M) -> Any {
    let mut any = Any::new();
    any.type_url = M::descriptor().full_name().to_owned();
    // Only a message with unset required fields fails, and version 3 of protobuf has none.
    any.value = message.write_to_bytes().unwrap_or_default();
    any
}

/// A moment as protobuf has it.
pub(crate) fn timestamp(at: SystemTime) -> Timestamp {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut timestamp = Timestamp::new();
    timestamp.seconds = since.as_secs().cast_signed();
    timestamp.nanos = since.subsec_nanos().cast_signed();
    timestamp
}

async fn tell(address: PathBuf, mut events: mpsc::UnboundedReceiver<Envelope>, waiting: Arc<AtomicUsize>) {
    let address = format!("unix://{}", address.display().to_string().trim_start_matches("unix://"));
    let mut client = None;
    while let Some(envelope) = events.recv().await {
        let topic = envelope.topic.clone();
        let mut request = ForwardRequest::new();
        request.set_envelope(envelope);
        let mut told = false;
        for _ in 0..ATTEMPTS {
            if client.is_none() {
                client = Client::connect(&address).await.ok().map(EventsClient::new);
            }
            if let Some(client) = &client {
                told = client.forward(context::with_duration(TIMEOUT), &request).await.is_ok();
            }
            if told {
                break;
            }
            client = None;
            sleep(PAUSE).await;
        }
        waiting.fetch_sub(1, Ordering::Relaxed);
        if !told {
            tracing::warn!(topic, "an event is lost: containerd does not answer");
        }
    }
}
