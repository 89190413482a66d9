//! Waiting until a part of the house answers: by asking it, within bounds, and never longer than it lives.
//!
//! It must not start or stop anything.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
};

use super::Service;
use crate::console::{Step, seconds};

/// How long a part may take to answer for the first time.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long one question may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two questions.
const PROBE_PAUSE: Duration = Duration::from_millis(50);
/// At most so much of an answer is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// A question whose good answer means that a part is ready.
pub(super) enum Probe {
    /// `GET /healthz` is answered with 200.
    Health(SocketAddr),
    /// The port takes connections.
    Port(SocketAddr),
    /// The command line shows the agent as active.
    ActiveAgent {
        /// The command line program.
        cli: PathBuf,
        /// The agent.
        agent_id: String,
        /// Where the command line finds the house, and with which token.
        environment: [(&'static str, String); 2],
    },
}

/// Asks until the answer is good.
///
/// # Errors
///
/// When the part ends, or gives no good answer in time: with the last answer and the end of its log.
pub(super) async fn wait(service: &mut Service, probe: &Probe, step: &Step) -> Result<()> {
    let started = Instant::now();
    loop {
        let asked = tokio::time::timeout(PROBE_TIMEOUT, probe.ask());
        let answer = tokio::select! {
            died = service.died() => return Err(died),
            answer = asked => answer.unwrap_or_else(|_| Err("no answer".to_owned())),
        };
        let Err(reason) = answer else { return Ok(()) };
        if started.elapsed() > READY_TIMEOUT {
            bail!(
                "{} is not ready after {}: {reason}\n{}",
                service.name(),
                seconds(READY_TIMEOUT),
                service.log_tail()
            );
        }
        step.detail(format!("waiting: {reason}"));
        tokio::time::sleep(PROBE_PAUSE).await;
    }
}

impl Probe {
    async fn ask(&self) -> Result<(), String> {
        match self {
            Self::Health(address) => health(*address).await,
            Self::Port(address) => connect(*address).await.map(drop),
            Self::ActiveAgent { cli, agent_id, environment } => active(cli, agent_id, environment).await,
        }
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    TcpStream::connect(address).await.map_err(|error| format!("{address}: {error}"))
}

async fn health(address: SocketAddr) -> Result<(), String> {
    let mut stream = connect(address).await?;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let exchange = async {
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = exchange.await.map_err(|error| format!("{address}/healthz: {error}"))?;
    match answer.split_whitespace().nth(1) {
        Some("200") => Ok(()),
        status => Err(format!("{address}/healthz answers {}", status.unwrap_or("nothing"))),
    }
}

async fn active(cli: &Path, agent_id: &str, environment: &[(&'static str, String)]) -> Result<(), String> {
    let output = Command::new(cli)
        .args(["agents", "get", agent_id, "-o", "json"])
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("{} does not run: {error}", cli.display()))?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    match answer["status"].as_str() {
        Some("active") => Ok(()),
        Some(status) => Err(format!("its status is {status}")),
        None => Err("it is not registered yet".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn service(name: &str, script: &str) -> Service {
        let log = std::env::temp_dir().join(format!("xtask-{name}-{}.log", std::process::id()));
        Service::spawn(name, Path::new("/bin/sh"), &log, |command| {
            command.args(["-c", script]);
        })
        .expect("a shell can be run")
    }

    #[tokio::test]
    async fn health_counts_only_once_it_is_good() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let server = tokio::spawn(async move {
            for status in ["503 Service Unavailable", "200 OK"] {
                let (mut stream, _) = listener.accept().await.expect("a probe");
                let mut request = [0_u8; 512];
                let len = stream.read(&mut request).await.expect("a request");
                assert!(request[..len].starts_with(b"GET /healthz HTTP/1.1\r\n"));
                stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await.expect("an answer");
            }
        });
        let mut part = service("healthy", "sleep 1000");
        wait(&mut part, &Probe::Health(address), &Step::start("test")).await.expect("it becomes ready");
        server.await.expect("it was asked twice");
        part.stop().await.expect("it can be stopped");
    }

    #[tokio::test]
    async fn a_part_that_dies_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        let mut part = service("dying", "echo out of luck; exit 7");
        let error = wait(&mut part, &Probe::Port(address), &Step::start("test")).await.expect_err("it died");
        let error = error.to_string();
        assert!(error.contains("dying ended by itself, with exit code 7"), "{error}");
        assert!(error.contains("out of luck"), "{error}");
    }
}
