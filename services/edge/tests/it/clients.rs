//! Real clients against a real edge: programs written from the documents, in the languages that people use. Those
//! whose interpreter or library is not on this machine are passed over, and that is said; the one in Rust never is.

mod browser;
mod process;
mod rust;
mod stage;

use std::{path::PathBuf, process::Command};

use stage::Stage;

/// Where the programs are.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Whether a command runs well in the folder of the programs.
fn runs(program: &str, arguments: &[&str]) -> bool {
    let ran = Command::new(program).args(arguments).current_dir(folder()).output();
    ran.is_ok_and(|output| output.status.success())
}

/// Says that a client was not tried.
#[expect(clippy::print_stderr, reason = "whoever reads the results is to know what they leave out")]
fn passed_over(client: &str, missing: &str) {
    eprintln!("SKIPPED: {client} was not tried: {missing}");
}

#[tokio::test]
async fn a_client_in_rust() {
    for stage in Stage::all().await {
        let (steps, program) = rust::start(&stage);
        stage.direct(steps).await;
        program.await.expect("the program ends well");
    }
}

#[tokio::test]
async fn a_client_in_node() {
    if !runs("node", &["-e", "require('ws')"]) {
        return passed_over("Node's ws", "it takes node, and `npm install` in services/edge/tests/clients");
    }
    for stage in Stage::all().await {
        let (steps, child) = process::start(&stage, "node", "node.mjs");
        stage.direct(steps).await;
        process::ended_well(child).await;
    }
}

#[tokio::test]
async fn a_client_in_python() {
    if !runs("python3", &["-c", "import websockets.asyncio.client"]) {
        return passed_over("Python's websockets", "it takes python3, and `pip install websockets`");
    }
    for stage in Stage::all().await {
        let (steps, child) = process::start(&stage, "python3", "client.py");
        stage.direct(steps).await;
        process::ended_well(child).await;
    }
}

#[tokio::test]
async fn a_client_in_a_browser() {
    let Some(chromium) = browser::program() else {
        return passed_over("a browser's WebSocket", "it takes chromium on the PATH");
    };
    for stage in Stage::all().await {
        let (steps, browser) = browser::start(&stage, chromium).await;
        stage.direct(steps).await;
        browser.end().await;
    }
}

#[tokio::test]
async fn the_command_line_client_of_the_documents() {
    let Some(wscat) = process::wscat() else {
        return passed_over("wscat", "it takes node, and `npm install` in services/edge/tests/clients");
    };
    for stage in Stage::all().await {
        process::watch_with_wscat(&stage, &wscat).await;
    }
}
