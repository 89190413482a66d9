//! The server of the simulated network: real gRPC on simulated connections, and the rules of [`super::ledger`].

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use signalbox_proto::v1::{
    Ack, CommandDelivery, connect_request::Message as FromAgent, connect_response::Message as ToAgent,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, transport::server::Connected};
use turmoil::net::{TcpListener, TcpStream};

use super::{Shared, ledger::Judged};
use crate::server::{Session, service, welcome};

/// Where it listens.
pub(super) const PORT: u16 = 50051;
/// Connections and sessions that wait to be taken up.
const CONNECTIONS_MAX: usize = 64;
/// How often a command is issued, and looked for by sessions.
const ISSUE_EVERY: Duration = Duration::from_millis(150);
/// How often the agent sends a heartbeat; three of them missing end a session.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Serves until it crashes.
pub(super) async fn serve(at: IpAddr, shared: Shared) -> turmoil::Result {
    let listener = TcpListener::bind((at, PORT)).await?;
    let (connections, incoming) = mpsc::channel(CONNECTIONS_MAX);
    let accepting = async {
        while let Ok((stream, _)) = listener.accept().await {
            // Fails only when the server has ended.
            let _ = connections.send(Ok::<_, io::Error>(Wire(stream))).await;
        }
    };
    let (sender, mut sessions) = mpsc::channel(CONNECTIONS_MAX);
    let issuing = async {
        let mut turns = interval(ISSUE_EVERY);
        loop {
            turns.tick().await;
            shared.lock().unwrap().issue();
        }
    };
    let holding = async {
        while let Some(session) = sessions.recv().await {
            tokio::spawn(hold(session, Arc::clone(&shared)));
        }
    };
    let serving = tonic::transport::Server::builder()
        .add_service(service(sender))
        .serve_with_incoming(ReceiverStream::new(incoming));
    tokio::select! {
        served = serving => Ok(served?),
        () = holding => Ok(()),
        () = issuing => Ok(()),
        () = accepting => Ok(()),
    }
}

/// Holds one session until it is over.
async fn hold(mut session: Session, shared: Shared) {
    let run = session.hello.instance_uid.clone();
    let (epoch, last) = shared.lock().unwrap().open(&session.hello);
    let mut word = welcome(last);
    (word.session_epoch, word.heartbeat_interval_ms) = (epoch, 1_000);
    if !session.offer(ToAgent::Welcome(word)).await {
        return;
    }
    let mut turns = interval(ISSUE_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_new = true;
    loop {
        let said = tokio::select! {
            said = tokio::time::timeout(HEARTBEAT * 3, session.said()) => said,
            _ = turns.tick() => {
                if !shared.lock().unwrap().is_open(epoch) {
                    return session.fail_quietly(Status::unavailable("another session is open")).await;
                }
                let ids = shared.lock().unwrap().deliver(&run, is_new);
                is_new = false;
                for command_id in ids {
                    let command = CommandDelivery { command_id, name: "work".into(), ..Default::default() };
                    if !session.offer(ToAgent::Command(command)).await {
                        return;
                    }
                }
                continue;
            }
        };
        match said {
            Ok(Some(FromAgent::Report(report))) => {
                let judged = shared.lock().unwrap().take(epoch, &run, &report);
                let Judged::Taken = judged else {
                    return session.fail_quietly(Status::failed_precondition("it is not its turn")).await;
                };
                let ack = Ack { sequence: report.sequence, rejections: Vec::new() };
                if !session.offer(ToAgent::Ack(ack)).await {
                    return;
                }
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => {
                return session.fail_quietly(Status::unavailable("no heartbeat arrived in time")).await;
            }
        }
    }
}

/// A simulated connection, as tonic takes it.
struct Wire(TcpStream);

impl Connected for Wire {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
