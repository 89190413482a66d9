//! A page in a headless Chromium: it is served from here, and tells its steps by requests.

use std::{collections::HashMap, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    runs,
    stage::{Stage, Step},
};

/// What Chromium is called, by distribution.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
const PAGE: &str = include_str!("../../clients/browser.html");
const PROGRAM: &str = include_str!("../../clients/program.mjs");

/// The browser on this machine.
pub(super) fn program() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|program| runs(program, &["--version"]))
}

/// A browser with the page open.
pub(super) struct Browser {
    child: Child,
    served: JoinHandle<()>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Closes it.
    pub(super) async fn end(mut self) {
        self.child.kill().await.expect("the browser was started");
        self.served.abort();
    }
}

/// Opens the page; gives its steps.
pub(super) async fn start(stage: &Stage, chromium: &str) -> (mpsc::Receiver<Step>, Browser) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("the listener is bound");
    let (steps, receiver) = mpsc::channel(1);
    let served = tokio::spawn(serve(listener, steps));
    let (url, token) = stage.address();
    let query: String = form_urlencoded::Serializer::new(String::new())
        .append_pair("dialect", stage.book.id.name())
        .append_pair("url", url.trim_end_matches('?'))
        .extend_pairs(token.map(|token| ("token", token)))
        .finish();
    let profile = tempfile::tempdir().expect("a temporary folder");
    let child = Command::new(chromium)
        // It shows this one page, and no sandbox can be had by root or in most containers.
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("http://{address}/?{query}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the browser starts");
    (receiver, Browser { child, served, _profile: profile })
}

/// Serves the page, and takes its steps, until the program is over.
async fn serve(listener: TcpListener, steps: mpsc::Sender<Step>) {
    loop {
        let (stream, _) = listener.accept().await.expect("the listener is open");
        let Some((path, body, mut stream)) = request(stream).await else { continue };
        let (media_type, text) = match path.split('?').next() {
            Some("/") => ("text/html", PAGE),
            Some("/program.mjs") => ("text/javascript", PROGRAM),
            Some("/step") => {
                let progress: Value = serde_json::from_slice(&body).expect("steps are JSON");
                let last = progress["at"] == "closed";
                let (leave, go) = oneshot::channel();
                if steps.send((progress, leave)).await.is_err() || go.await.is_err() || last {
                    return;
                }
                ("text/plain", "go")
            }
            _ => ("text/plain", ""),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            text.len()
        );
        // A page that is gone is noticed at its next step.
        let _ = stream.write_all(format!("{head}{text}").as_bytes()).await;
    }
}

/// Reads a request: its path and its body.
async fn request(stream: TcpStream) -> Option<(String, Vec<u8>, TcpStream)> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let len = headers.get("content-length").and_then(|len| len.parse().ok()).unwrap_or(0);
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await.ok()?;
    Some((path, body, stream.into_inner()))
}
