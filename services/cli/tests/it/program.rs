//! The program under test: started with arguments, an environment of its own, and nothing else.

use std::{process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::house::{ADMIN_TOKEN, House};

/// No run takes this long, however slow the machine.
const RUN_TIMEOUT: Duration = Duration::from_secs(60);

/// What a run left behind.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The one JSON document on standard output.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The JSON objects on standard output, one a line.
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl std::fmt::Debug for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {}\n-- stdout\n{}\n-- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

/// The program with an environment that has nothing but what it needs.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signalbox"));
    command.args(arguments).env_clear().kill_on_drop(true);
    // The profiles of whoever runs the tests are not theirs.
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The program with the address of the house and an administrator's token.
pub(crate) fn program_for(house: &House, arguments: &[&str]) -> Command {
    let mut command = program(arguments);
    command.env("SIGNALBOX_GRPC_URL", house.url()).env("SIGNALBOX_TOKEN", ADMIN_TOKEN);
    command
}

/// Runs it to its end.
pub(crate) async fn run(house: &House, arguments: &[&str]) -> Ended {
    end_of(program_for(house, arguments)).await
}

/// Runs it to its end, with this on its standard input.
pub(crate) async fn run_with_input(house: &House, arguments: &[&str], input: &str) -> Ended {
    fed(program_for(house, arguments).stdin(Stdio::piped()), input).await
}

/// Runs a prepared command to its end, with this on its standard input.
pub(crate) async fn fed(command: &mut Command, input: &str) -> Ended {
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let feed = tokio::spawn(async move {
        // The program may end without reading all of it.
        let _ = stdin.write_all(input.as_bytes()).await;
    });
    let ended = wait(child).await;
    feed.await.unwrap();
    ended
}

/// Runs a prepared command to its end.
pub(crate) async fn end_of(mut command: Command) -> Ended {
    wait(command.spawn().unwrap()).await
}

async fn wait(child: Child) -> Ended {
    let output = timeout(RUN_TIMEOUT, child.wait_with_output()).await.expect("the program ends").unwrap();
    Ended {
        code: output.status.code().expect("the program ends by itself"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A run that is read while it goes on.
pub(crate) struct Running {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub(crate) fn start(house: &House, arguments: &[&str]) -> Self {
        let mut child = program_for(house, arguments).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, stdout }
    }

    /// The next line on standard output.
    pub(crate) async fn line(&mut self) -> String {
        let line = timeout(RUN_TIMEOUT, self.stdout.next_line()).await.expect("a line comes").unwrap();
        line.expect("the program has more to say")
    }

    /// The next line on standard output, as JSON.
    pub(crate) async fn json(&mut self) -> Value {
        serde_json::from_str(&self.line().await).unwrap()
    }

    /// Presses Ctrl-C and waits for the end.
    pub(crate) async fn interrupt(self) -> Ended {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill(Pid::from_raw(pid), Signal::SIGINT).unwrap();
        self.end().await
    }

    /// Goes away as the reader of standard output.
    pub(crate) fn stop_reading(self) -> Child {
        drop(self.stdout);
        self.child
    }

    /// Waits for the end, and has what was not read yet.
    pub(crate) async fn end(mut self) -> Ended {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let mut stderr_pipe = self.child.stderr.take().unwrap();
        let code = timeout(RUN_TIMEOUT, async {
            let (rest, _) = tokio::join!(
                async {
                    while let Some(line) = self.stdout.next_line().await.unwrap() {
                        stdout.push_str(&line);
                        stdout.push('\n');
                    }
                },
                stderr_pipe.read_to_string(&mut stderr),
            );
            let () = rest;
            self.child.wait().await.unwrap().code()
        });
        let code = code.await.expect("the program ends").expect("the program ends by itself");
        Ended { code, stdout, stderr }
    }
}
