//! What administrators of the platform do to tenants, as the command line does it and `signalbox audit` shows it.

use std::{fs::File, path::Path, process::Stdio};

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use signalbox_identity::Role;
use signalbox_testbed::{SECRET, database, program_path, soon, token};
use tokio::process::{Child, Command};

/// A replica as a process, with what it logs in a file.
struct Replica {
    process: Child,
    url: String,
    log: tempfile::NamedTempFile,
}

fn program(name: &str) -> Command {
    let mut command = Command::new(program_path(name));
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Where a service says that it serves.
fn serving_at(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).expect("it was created");
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let lines = whole.map(|line| serde_json::from_str::<Value>(line).expect("lines are JSON"));
    let mut serving = lines.filter(|line| line["fields"]["message"] == "serving");
    serving.find_map(|line| line["fields"]["address"].as_str().map(Into::into))
}

impl Replica {
    async fn start() -> Self {
        let log = tempfile::NamedTempFile::new().expect("there is room for a log");
        let process = program("signalbox-state")
            .env("SIGNALBOX_PROFILE", "development")
            .env("SIGNALBOX_JWT_SECRET", SECRET)
            .env("SIGNALBOX_DATABASE_URL", database().await.expose_secret())
            .env("SIGNALBOX_STATE_LISTEN", "127.0.0.1:0")
            .env("SIGNALBOX_STATE_METRICS_LISTEN", "127.0.0.1:0")
            .env("SIGNALBOX_LOG_FORMAT", "json")
            .stderr(File::create(log.path()).expect("it is ours"))
            .spawn()
            .expect("the state service is built");
        let address = soon("state service", async {
            loop {
                if let Some(address) = serving_at(log.path()) {
                    return address;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        });
        let url = format!("http://{}", address.await);
        Self { process, url, log }
    }

    /// Runs the command line for somebody of a tenant, and gives what it writes.
    async fn cli(&self, tenant_id: &str, args: &[&str]) -> String {
        let mut command = program("signalbox");
        command.args(args).env("SIGNALBOX_TOKEN", token(tenant_id, Role::Admin));
        command.env("SIGNALBOX_GRPC_URL", &self.url);
        let output = soon("answer", command.output()).await.expect("the command line is built");
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).expect("it writes text")
    }

    /// Ends it, and gives the lines that it has logged.
    async fn logged(mut self) -> Vec<Value> {
        soon("end of the state service", self.process.kill()).await.expect("it can be ended");
        let text = std::fs::read_to_string(self.log.path()).expect("it was written");
        text.lines().map(|line| serde_json::from_str(line).expect("lines are JSON")).collect()
    }
}

#[tokio::test]
async fn what_is_done_to_a_tenant_is_told_in_its_log_and_its_end_in_that_of_the_service() {
    let replica = Replica::start().await;
    for args in [
        &["tenants", "create", "acme", "--name", "Acme"][..],
        &["tenants", "update", "acme", "--limit", "agents=5"],
        &["tenants", "suspend", "acme", "--reason", "unpaid"],
        &["tenants", "resume", "acme"],
    ] {
        replica.cli("*", args).await;
    }
    let told = replica.cli("acme", &["audit", "--method", "TenantService.*", "-o", "json"]).await;
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let methods: Vec<_> = told.iter().map(|call| call["method"].as_str().unwrap()).collect();
    let expected = ["CreateTenant", "UpdateTenant", "SuspendTenant", "ResumeTenant"];
    assert_eq!(methods, expected.map(|name| format!("TenantService.{name}")));
    for call in &told {
        assert_eq!(
            (&call["outcome"], &call["actor"], &call["role"], &call["address"]),
            (&json!("done"), &json!("admin-1"), &json!("admin"), &json!("127.0.0.1")),
        );
        assert_eq!(call["targets"], json!([{ "kind": "tenant", "id": "acme" }]));
        assert_eq!(call["trace_id"].as_str().map(str::len), Some(32), "{call}");
    }

    replica.cli("*", &["tenants", "delete", "acme", "--confirm", "acme"]).await;
    let logged = replica.logged().await;
    let told = logged.iter().map(|line| &line["fields"]);
    let ends: Vec<_> = told.filter(|fields| fields["method"] == "TenantService.DeleteTenant").collect();
    let [end] = ends[..] else { panic!("{logged:?}") };
    assert_eq!(
        (&end["tenant_id"], &end["actor"], &end["role"], &end["address"]),
        (&json!("acme"), &json!("admin-1"), &json!("admin"), &json!("127.0.0.1")),
    );
    assert_eq!(end["trace_id"].as_str().map(str::len), Some(32), "{end}");
}
