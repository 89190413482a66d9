//! One TCP connection: HTTP until it is upgraded to a WebSocket, then a session.
//!
//! It must know no dialect's messages.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade::OnUpgrade};
use hyper_util::rt::{TokioIo, TokioTimer};
use signalbox_transport::{ServerTls, Stream};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    handshake,
    origin::{self, ClientAddress},
    pace::{Handshake, Handshakes, Pace},
    refusal::{self, Refusals},
    routes::{ABOUT, Site, Target},
};
use crate::{
    dialect::DialectId,
    session::{self, Accepted, Shared},
    upstream::Health,
};

/// Most bytes of a request's head; hyper's least is 8 KiB.
const HEAD_LEN_MAX: usize = 16 * 1024;
/// Most header lines of a request.
const HEADERS_MAX: usize = 64;
/// How long to wait after a failure to accept, such as no free file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// For how long a browser that came encrypted comes in no other way: a year (RFC 6797).
const ENCRYPTED_FOR: &str = "max-age=31536000";
/// How long the answer under way may still take when an HTTP connection has lasted long enough.
const LAST_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What every connection needs. Cheap to clone.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) shared: Arc<Shared>,
    pub(super) health: watch::Receiver<Health>,
    pub(super) origins: Arc<[String]>,
    pub(super) client_address: ClientAddress,
    pub(super) places: Arc<Semaphore>,
    pub(super) pace: Pace,
    pub(super) handshakes: Handshakes,
    pub(super) refusals: Refusals,
    /// What connections are encrypted with.
    pub(super) tls: Option<ServerTls>,
    /// How long its encryption may take, and after that the head of a request.
    pub(super) handshake_timeout: Duration,
    /// How long an HTTP connection lasts: a client that asks and does not read holds no place for ever.
    pub(super) http_life: Duration,
    pub(super) sessions: TaskTracker,
    pub(super) drain: CancellationToken,
    /// The end of patience with connections that do not end by themselves.
    pub(super) cut: CancellationToken,
}

/// A connection on its way from HTTP to a session.
struct Visit {
    site: Site,
    peer: SocketAddr,
    /// Held to the end of the connection, whatever it becomes.
    place: Arc<OwnedSemaphorePermit>,
    /// Held until the first request has come.
    handshake: Mutex<Option<Handshake>>,
}

impl Door {
    /// Takes connections in at its pace until the drain; those that come faster wait in the listener's queue.
    pub(super) async fn take_in(self, site: Site, listener: TcpListener) {
        let next = async || {
            self.pace.turn().await;
            listener.accept().await
        };
        loop {
            let accepted = tokio::select! {
                accepted = next() => accepted,
                () = self.drain.cancelled() => return,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(site, stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    if !is_of_one_connection(&error) {
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }

    fn admit(&self, site: Site, stream: TcpStream, peer: SocketAddr) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return self.turn_away(stream, peer, "connections");
        };
        let address = peer.ip().to_canonical();
        let Some(handshake) = self.handshakes.begin(address, self.client_address.trusts(address)) else {
            return self.turn_away(stream, peer, "handshakes");
        };
        // Frames are whole when they are written; waiting for more would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "a connection was gone before it was served");
            return;
        }
        let visit = Visit { site, peer, place: Arc::new(place), handshake: Mutex::new(Some(handshake)) };
        let door = self.clone();
        self.sessions.spawn(async move {
            if let Some(stream) = door.secure(&visit, stream).await {
                door.serve(visit, stream).await;
            }
        });
    }

    /// There are as many as there may be of something. To say so on an encrypted connection would be the work that
    /// is to be spared.
    fn turn_away(&self, stream: TcpStream, peer: SocketAddr, of: &'static str) {
        metrics::counter!("signalbox_edge_turned_away_total", "of" => of).increment(1);
        tracing::debug!(%peer, of, "a connection was turned away: there are as many as there may be");
        if self.tls.is_none()
            && let Some(told) = self.refusals.tell(stream)
        {
            self.sessions.spawn(told);
        }
    }

    /// Encrypts the connection where there is a certificate. Its place is held already: who dawdles here counts.
    async fn secure(&self, visit: &Visit, stream: TcpStream) -> Option<Stream> {
        let Some(tls) = &self.tls else { return Some(Stream::Plain(stream)) };
        let secured = tokio::select! {
            secured = tokio::time::timeout(self.handshake_timeout, tls.accept(stream)) => {
                secured.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            }
            () = self.drain.cancelled() => return None,
        };
        if let Err(error) = &secured {
            metrics::counter!("signalbox_edge_handshakes_failed_total").increment(1);
            tracing::debug!(peer = %visit.peer, %error, "a connection could not be encrypted");
        }
        secured.ok()
    }

    async fn serve(self, visit: Visit, stream: Stream) {
        let peer = visit.peer;
        let (drain, cut, http_life) = (self.drain.clone(), self.cut.clone(), self.http_life);
        let handshake_timeout = self.handshake_timeout;
        let (door, visit) = (Arc::new(self), Arc::new(visit));
        let service = service_fn(move |request| {
            let (door, visit) = (Arc::clone(&door), Arc::clone(&visit));
            async move { Ok::<_, Infallible>(door.hardened(door.answer(&visit, request))) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(handshake_timeout)
            .max_buf_size(HEAD_LEN_MAX)
            .max_headers(HEADERS_MAX);
        let mut connection =
            std::pin::pin!(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
        let served = async {
            tokio::select! {
                served = connection.as_mut() => return served,
                () = drain.cancelled() => connection.as_mut().graceful_shutdown(),
                () = tokio::time::sleep(http_life) => {
                    connection.as_mut().graceful_shutdown();
                    return tokio::time::timeout(LAST_ANSWER_TIMEOUT, connection).await.unwrap_or(Ok(()));
                }
            }
            connection.await
        };
        let served = tokio::select! {
            served = served => served,
            () = cut.cancelled() => Ok(()),
        };
        if let Err(error) = served {
            tracing::debug!(%peer, %error, "an HTTP connection failed");
        }
    }

    fn answer(&self, visit: &Visit, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
        drop(visit.handshake.lock().unwrap_or_else(PoisonError::into_inner).take());
        match visit.site.route(request.uri().path()) {
            Some(Target::Socket(dialect)) => {
                let upgrade = hyper::upgrade::on(&mut request);
                self.open(visit, dialect, request, upgrade)
            }
            Some(Target::Health) => self.health(),
            Some(Target::Metrics) => plain(StatusCode::OK, signalbox_telemetry::metrics_text()),
            Some(Target::About) => plain(StatusCode::OK, ABOUT),
            Some(Target::Page(file)) => file.answer(request.headers()),
            None => plain(StatusCode::NOT_FOUND, "nothing is here; see /about on the main listener\n"),
        }
    }

    /// With the headers that every answer has: what it is is not guessed, and who came encrypted comes so again.
    fn hardened(&self, mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
        let headers = response.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if self.tls.is_some() {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(ENCRYPTED_FOR));
        }
        response
    }

    fn health(&self) -> Response<Full<Bytes>> {
        if self.drain.is_cancelled() {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
        }
        match *self.health.borrow() {
            Health::Healthy => plain(StatusCode::OK, "ok\n"),
            // The edge itself is well, and serves what it can: to take it away would help nobody.
            Health::Degraded { .. } => plain(StatusCode::OK, "degraded: the state service is out of reach\n"),
        }
    }

    /// Answers a handshake, and lets the session begin when the connection is upgraded.
    fn open(
        &self,
        visit: &Visit,
        dialect: DialectId,
        request: Request<Incoming>,
        upgrade: OnUpgrade,
    ) -> Response<Full<Bytes>> {
        let (parts, _) = request.into_parts();
        let accept = match handshake::check(&parts) {
            Ok(accept) => accept,
            Err(refused) => return no_handshake(&refused),
        };
        if !origin::is_allowed(&parts.headers, &self.origins) {
            return plain(StatusCode::FORBIDDEN, "this origin may not connect\n");
        }
        if self.drain.is_cancelled() {
            let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping\n");
            refusal::put_retry_after(response.headers_mut());
            return response;
        }
        let (arrival, address) =
            (handshake::arrival(&parts), self.client_address.of(visit.peer, &parts.headers));
        let (shared, place, peer) = (Arc::clone(&self.shared), Arc::clone(&visit.place), visit.peer);
        let cut = self.cut.clone();
        self.sessions.spawn(async move {
            let upgraded = tokio::select! {
                upgraded = upgraded(upgrade) => upgraded,
                () = cut.cancelled() => return,
            };
            match upgraded {
                Ok((stream, leftover)) => {
                    session::run(shared, Accepted { dialect, address, arrival, stream, leftover }).await;
                }
                Err(error) => tracing::debug!(%peer, %error, "a connection was gone before it was upgraded"),
            }
            drop(place);
        });
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        response
    }
}

/// The bare connection, and what was read of it beyond the handshake: copied, because hyper's whole buffer
/// would live as long as a slice of it.
async fn upgraded(upgrade: OnUpgrade) -> Result<(Stream, Bytes), hyper::Error> {
    let parts = upgrade.await?.downcast::<TokioIo<Stream>>();
    let parts = parts.expect("every connection here is served over such a stream");
    Ok((parts.io.into_inner(), Bytes::copy_from_slice(&parts.read_buf)))
}

fn no_handshake(refused: &handshake::NoHandshake) -> Response<Full<Bytes>> {
    let mut response = plain(refused.status, format!("{}\n", refused.message));
    if refused.status == StatusCode::UPGRADE_REQUIRED {
        response.headers_mut().extend(handshake::upgrade_headers());
    }
    response
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

/// Failures that concern the connection alone, and say nothing of the next.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
