//! Programs of other languages: they tell their steps on standard output, and go on when they read a line.

use std::{path::PathBuf, process::Stdio, time::Duration};

use serde_json::Value;
use signalbox_edge::dialect::DialectId;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
    sync::{mpsc, oneshot},
};

use super::{
    folder,
    stage::{Stage, Step},
};
use crate::conformance::book::Book;

/// How long a program may take to end, or to show the first event.
const PATIENCE: Duration = Duration::from_secs(40);

/// Starts a program; gives its steps.
pub(super) fn start(stage: &Stage, interpreter: &str, file: &str) -> (mpsc::Receiver<Step>, Child) {
    let (url, bearer) = stage.address();
    let mut command = Command::new(interpreter);
    command.arg(file).arg(stage.book.id.name()).arg(url).args(bearer).current_dir(folder());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("the interpreter starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let (steps, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            let progress: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no step: {line}"));
            let (leave, go) = oneshot::channel();
            let told = steps.send((progress, leave)).await.is_ok();
            if !told || go.await.is_err() || stdin.write_all(b"go\n").await.is_err() {
                return;
            }
        }
    });
    (receiver, child)
}

/// Waits until a program has ended, which it does well.
pub(super) async fn ended_well(mut child: Child) {
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("an end in time");
    let status = status.expect("the program was started");
    assert!(status.success(), "{status}");
}

/// The command line client that the documents test with, where it is installed.
pub(super) fn wscat() -> Option<PathBuf> {
    let installed = [folder().join("node_modules/.bin/wscat"), PathBuf::from("wscat")];
    installed.into_iter().find(|path| super::runs(&path.to_string_lossy(), &["--version"]))
}

/// Connects and subscribes as the documents show it, and waits for an event.
pub(super) async fn watch_with_wscat(stage: &Stage, wscat: &PathBuf) {
    let (url, bearer) = stage.address();
    let mut command = Command::new(wscat);
    command.args(["--no-color", "-w", "60", "-c"]).arg(url);
    if let Some(bearer) = bearer {
        command.arg("-H").arg(format!("Authorization: Bearer {bearer}"));
    }
    let message = if stage.book.id == DialectId::SentinelAi {
        "hello?".to_owned()
    } else {
        stage.book.subscribe(stage.book.name).to_string()
    };
    command.arg("-x").arg(message).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("wscat starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let seen = async {
        while let Some(line) = lines.next_line().await.expect("its output is UTF-8") {
            let Some(at) = line.find('{') else { continue };
            let message = serde_json::from_str(&line[at..]).unwrap_or_default();
            if stage.book.is_shown(&Book::label(&message)) {
                return;
            }
        }
        panic!("{:?}: wscat ended before it saw an event", stage.book.id);
    };
    let shown = async {
        // Not every dialect says that a subscription is in force.
        for index in 0.. {
            stage.edge.append(stage.book.event(index, 0));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        seen = tokio::time::timeout(PATIENCE, seen) => seen.expect("an event in time"),
        () = shown => {}
    }
    child.kill().await.expect("wscat was started");
}
