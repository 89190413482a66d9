//! A house of processes: three replicas, one of them behind TLS, an edge, agents and the command line, with all that
//! they write kept in files.

use std::{
    fs::{self, File},
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use signalbox_testbed::{Reserved, program_path, soon};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use super::{
    asking::answer,
    given::{Variables, certificates, login},
    spoken::{Secrets, random},
};
use crate::tls::authority::Authority;

/// Everything that is logged anywhere.
pub(super) const LOG: &str = "trace";
/// How often it is looked whether something is there that must come.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What the supervised programs run: they tell all that they were given.
const CHILD: &str = "env; echo a child of $WHOSE; sleep 600";

/// The processes, ended when dropped.
pub(super) struct House {
    dir: TempDir,
    pub(super) jwt_secret: String,
    pub(super) database_url: String,
    replicas: Vec<Replica>,
    others: Vec<Child>,
    /// Where the edge is.
    pub(super) edge: SocketAddr,
    /// Certificates and where they are, as the environment of a client and of a server has them.
    client_tls: Variables,
    pub(super) server_tls: Variables,
    _authority: Authority,
    /// The addresses of the servers, for as long as they may want to listen there.
    _reserved: Vec<Reserved>,
}

struct Replica {
    process: Child,
    grpc: SocketAddr,
    metrics: SocketAddr,
}

/// How a program ended.
pub(super) struct Ended {
    pub(super) stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Ended {
    pub(super) fn all(self) -> Vec<u8> {
        [self.stdout, self.stderr].concat()
    }
}

impl House {
    /// Starts the replicas and the edge.
    pub(super) async fn start(secrets: &mut Secrets) -> Self {
        let dir = TempDir::new().expect("there is room for logs");
        let jwt_secret = secrets.keep("the secret that signs tokens", random());
        let database_url = login(secrets).await;
        let authority = Authority::new();
        let (server_tls, client_tls) = certificates(&authority, secrets);
        let mut reserved = Vec::new();
        let mut start = |name: &str, tls: &[(&str, PathBuf)]| {
            let (grpc, metrics) = (reserve(&mut reserved), reserve(&mut reserved));
            let mut command = program(&dir, "signalbox-state", name);
            command
                .env("SIGNALBOX_DATABASE_URL", &database_url)
                .env("SIGNALBOX_JWT_SECRET", &jwt_secret)
                .env("SIGNALBOX_STATE_LISTEN", grpc.to_string())
                .env("SIGNALBOX_STATE_METRICS_LISTEN", metrics.to_string())
                .envs(tls.iter().map(|(name, path)| (name, path)));
            Replica { process: command.spawn().expect("the state service is built"), grpc, metrics }
        };
        let replicas = vec![start("state-1", &[]), start("state-2", &[]), start("state-tls", &server_tls)];
        let edge = reserve(&mut reserved);
        let edge_process = program(&dir, "signalbox-edge", "edge")
            .env("SIGNALBOX_JWT_SECRET", &jwt_secret)
            .env("SIGNALBOX_GRPC_URL", format!("http://{}", replicas[0].grpc))
            .env("SIGNALBOX_EDGE_LISTEN", edge.to_string())
            .env("SIGNALBOX_EDGE_AISOC_LISTEN", "off")
            .env("SIGNALBOX_EDGE_LOGS_LISTEN", "off")
            .env("SIGNALBOX_EDGE_LOGS_TENANT", "acme")
            .env("SIGNALBOX_EDGE_LOGS_ANONYMOUS", "false")
            .spawn()
            .expect("the edge is built");
        Self {
            dir,
            jwt_secret,
            database_url,
            replicas,
            others: vec![edge_process],
            edge,
            client_tls,
            server_tls,
            _authority: authority,
            _reserved: reserved,
        }
    }

    /// Waits until the replicas and the edge answer.
    pub(super) async fn wait_ready(&self, token: &str) {
        let mut servers: Vec<_> = self.replicas.iter().map(|replica| replica.grpc).collect();
        servers.push(self.edge);
        soon("house that answers", async {
            for server in servers {
                while TcpStream::connect(server).await.is_err() {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        })
        .await;
        let who = self.cli(token, &["whoami"]).await.all();
        assert!(String::from_utf8_lossy(&who).contains("acme"), "{}", String::from_utf8_lossy(&who));
    }

    /// Where a replica serves gRPC in plaintext.
    pub(super) fn grpc(&self) -> SocketAddr {
        self.replicas[0].grpc
    }

    /// Where a replica tells what it measures.
    pub(super) fn metrics_address(&self) -> SocketAddr {
        self.replicas[0].metrics
    }

    /// Runs an agent, with a credential in its environment.
    pub(super) fn run_agent(&mut self, agent_id: &str, environment: &[(&str, &str)]) {
        let mut command = self.agent(agent_id);
        command.env("SIGNALBOX_GRPC_URL", format!("http://{}", self.replicas[1].grpc));
        command.envs(environment.iter().copied());
        self.others.push(command.spawn().expect("the agent is built"));
    }

    /// Runs an agent that enrols itself, by the replica that has TLS.
    pub(super) fn run_enrolled_agent(&mut self, agent_id: &str, enrolment: &str) {
        let mut command = self.agent(agent_id);
        command.env("SIGNALBOX_GRPC_URL", format!("https://{}", self.replicas[2].grpc));
        command.env("SIGNALBOX_ENROLMENT_TOKEN", enrolment).env("SIGNALBOX_TLS_SERVER_NAME", "localhost");
        command.envs(self.client_tls.iter().map(|(name, path)| (name, path)));
        self.others.push(command.spawn().expect("the agent is built"));
    }

    fn agent(&self, agent_id: &str) -> Command {
        let mut command = program(&self.dir, "signalbox-agent", &format!("agent-{agent_id}"));
        command.args(["run", "--id", agent_id, "--state-dir"]).arg(self.dir.path().join("agents"));
        command.args(["--env", &format!("WHOSE={agent_id}"), "--", "sh", "-c", CHILD]);
        command
    }

    /// The key that an agent keeps once it has another than this.
    pub(super) async fn key_after(&self, agent_id: &str, before: &str) -> String {
        let path = self.dir.path().join(format!("agents/{agent_id}.key.json"));
        let kept = || {
            let content: serde_json::Value = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
            content["key"]["text"].as_str().map(str::to_owned).filter(|key| key != before)
        };
        soon("another key", async {
            loop {
                if let Some(key) = kept() {
                    return key;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        })
        .await
    }

    /// Runs the command line with a credential.
    pub(super) async fn cli(&self, credential: &str, args: &[&str]) -> Ended {
        self.run("signalbox", args, &[("SIGNALBOX_TOKEN", credential)]).await
    }

    /// Runs a program to its end.
    pub(super) async fn run(&self, name: &str, args: &[&str], environment: &[(&str, &str)]) -> Ended {
        let mut command = Command::new(program_path(name));
        command
            .args(args)
            .env("SIGNALBOX_LOG", LOG)
            .env("SIGNALBOX_GRPC_URL", format!("http://{}", self.grpc()))
            .env("HOME", self.dir.path())
            .env("XDG_CONFIG_HOME", self.dir.path())
            .env("RUST_BACKTRACE", "full")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = soon("end of a program", command.output()).await.expect("it is built");
        Ended { stdout: output.stdout, stderr: output.stderr }
    }

    /// Keeps a credential as a profile, uses it, shows the profiles, and forgets it.
    pub(super) async fn log_in_and_out(&self, credential: &str) -> Vec<u8> {
        let file = self.file("token", credential);
        let mut written = Vec::new();
        for args in [
            &["login", "--token-file", &file][..],
            &["whoami", "-o", "json"],
            &["profiles", "-o", "json"],
            &["logout"],
        ] {
            written.extend(self.run("signalbox", args, &[]).await.all());
        }
        let text = String::from_utf8_lossy(&written);
        assert!(text.contains("logged in") && text.contains("forgot"), "{text}");
        written
    }

    /// Writes a file that only its owner reads.
    pub(super) fn file(&self, name: &str, text: &str) -> String {
        let file = self.dir.path().join(name);
        fs::write(&file, text).expect("there is room for it");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("the file is ours");
        file.to_str().expect("the path is UTF-8").to_owned()
    }

    /// The log, once it has what the programs of these agents wrote.
    pub(super) async fn told_by_programs(&self, admin: &str, agent_ids: &[&str]) -> Vec<u8> {
        let tail = ["events", "tail", "--since", "1h", "--no-follow", "-o", "json"];
        soon("lines of the programs", async {
            loop {
                let told = self.cli(admin, &tail).await.all();
                let text = String::from_utf8_lossy(&told);
                if agent_ids.iter().all(|id| text.contains(&format!("a child of {id}"))) {
                    return told;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        })
        .await
    }

    /// What is measured, everywhere.
    pub(super) async fn metrics(&self) -> Vec<u8> {
        let request = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let mut all = answer(self.edge, request).await;
        for replica in &self.replicas {
            all.extend(answer(replica.metrics, request).await);
        }
        all
    }

    /// Stops everything, and gives all that was logged, by the names of the programs.
    pub(super) async fn stop(mut self) -> Vec<(String, Vec<u8>)> {
        // Agents and the edge first, so that none of them waits for a replica that is gone.
        let servers = self.replicas.iter_mut().map(|replica| &mut replica.process);
        for child in self.others.iter_mut().rev().chain(servers) {
            let id = child.id().expect("it runs still").to_string();
            // Asked to stop rather than killed, so that what it says at the end is read too.
            let asked = Command::new("kill").args(["-TERM", &id]).status().await;
            assert!(asked.expect("there is a program kill").success());
            soon("end of a process", child.wait()).await.expect("it ends");
        }
        let files = fs::read_dir(self.dir.path()).expect("the logs are there").flatten();
        let logs =
            files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "log"));
        let read = |path: PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            (name.expect("a log has a name"), fs::read(&path).expect("a log is read"))
        };
        let logs: Vec<_> = logs.map(read).collect();
        assert_eq!(logs.len(), self.replicas.len() + self.others.len());
        logs
    }
}

/// A program whose output goes to a file, and that is ended with the test.
fn program(dir: &TempDir, name: &str, log: &str) -> Command {
    let file = File::create(dir.path().join(format!("{log}.log"))).expect("there is room for a log");
    let mut command = Command::new(program_path(name));
    command
        .stdout(file.try_clone().expect("a file can be shared"))
        .stderr(file)
        .stdin(Stdio::null())
        .env("SIGNALBOX_LOG", LOG)
        .env("SIGNALBOX_PROFILE", "development")
        .env("RUST_BACKTRACE", "full")
        .kill_on_drop(true);
    command
}

/// An address that nobody else is given while a server comes to listen there.
fn reserve(reserved: &mut Vec<Reserved>) -> SocketAddr {
    let free = Reserved::any();
    let address = free.address();
    reserved.push(free);
    address
}
