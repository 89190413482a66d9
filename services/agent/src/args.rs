//! The command line of `signalbox-agent`.

mod check;
mod simulate;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{CommandFactory as _, Parser, Subcommand};
use secrecy::{ExposeSecret as _, SecretString};
use signalbox_agent::{
    ClientTlsConfig, Config, ConfigError, Credential,
    supervisor::{ConfigDelivery, ProgramConfig, RestartPolicy},
};
use signalbox_settings::Program;
use signalbox_telemetry::TelemetryConfig;

pub(crate) use simulate::SimulateArgs;

const EXAMPLES: &str = "\
Examples:
  signalbox-agent run --id web-1 -- python3 -m http.server 9000
  signalbox-agent run --id web-1 --label env=prod --restart on-failure -- ./server --port 80
  signalbox-agent run --id job-7 --exit-with-program -- sh -c 'make nightly'
  signalbox-agent run --id web-1 --config-file /etc/web.json --state-dir /var/lib/web -- ./server

An agent that enrols itself, for a key of its own:
  signalbox-agent run --id web-1 --state-dir /var/lib/web --enrolment-token-file enrolment -- ./server

The address of the server and the token of the role agent come from the environment, or all of it from a file:
  export SIGNALBOX_GRPC_URL=http://127.0.0.1:50051 SIGNALBOX_TOKEN=…
  signalbox-agent run --config /etc/signalbox/web-1.toml

Commands it carries out: start, stop {graceful, timeout_ms}, restart {graceful, timeout_ms}, get_status, and \
update_config {config} where --config-file or --config-env says how the program is given it.

Exit codes:
  0    asked to stop by SIGTERM, SIGINT or SIGHUP; a second one kills the program at once
  1    refused by the server, or another session of the agent took over; the program is stopped first
  2    the command line is wrong, or another setting; --check-config says so with 1
  with --exit-with-program the program's own; 128 plus the number of the signal that ended it; 127 when it \
could not be started

While the server is away the program is served as before, and what there is to report is kept; with --state-dir it \
survives the agent too. Should the agent \
be killed, a small process beside it ends the program.";

/// Runs a program as an agent of Signalbox: reports its life, its output and its use of the machine, and carries
/// out commands.
#[derive(Debug, Parser)]
#[command(name = "signalbox-agent", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) action: Action,
}

/// What to be.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Run a program and supervise it.
    #[command(after_help = EXAMPLES)]
    Run(Box<RunArgs>),
    /// Play agents that do not exist, so that there is something to see: incidents, cases, runs, a graph, and all
    /// the rest, in stories that begin at a steady pace.
    Simulate(Box<SimulateArgs>),
    /// End the program of an agent that was killed. Started by `run`, for `run`.
    #[command(hide = true)]
    Guard,
}

/// The program: a file sets the arguments of `run`. Its variable is not the one in which supervised programs find
/// their configuration.
pub(crate) fn program() -> Program {
    Program::new(Args::command()).scope("run", "SIGNALBOX_AGENT_CONFIG")
}

/// The arguments of `run`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RunArgs {
    /// Id of the agent: 1 to 128 characters of A-Z a-z 0-9 . _ : -, the first a letter or a digit.
    #[arg(long)]
    id: String,
    /// Name for people; the server takes the id for a new agent without one.
    #[arg(long, default_value = "")]
    name: String,
    /// Label that selectors match; may be given again.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// Template or kind of program.
    #[arg(long, default_value = "")]
    template: String,
    /// When the program is started again after it has ended by itself; the waits grow to a minute.
    #[arg(long, value_enum, default_value_t = RestartPolicy::Never)]
    restart: RestartPolicy,
    /// How long the program may take to end after SIGTERM, before SIGKILL: such as 10s or 500ms.
    #[arg(long, default_value = "10s", value_parser = duration)]
    stop_timeout: Duration,
    /// File to which update_config writes the configuration, before the program is started again.
    #[arg(long, value_name = "PATH", conflicts_with = "config_env")]
    config_file: Option<PathBuf>,
    /// Put the configuration of update_config into the program's environment: SIGNALBOX_CONFIG has all of it as
    /// JSON, SIGNALBOX_CONFIG_<KEY> each value. With --state-dir it survives the agent.
    #[arg(long)]
    config_env: bool,
    /// Working directory of the program.
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Variable for the program's environment, besides the agent's own (without the credentials of Signalbox);
    /// may be given again.
    #[arg(long = "env", value_name = "KEY=VALUE", value_parser = pair)]
    env: Vec<(String, String)>,
    /// Wait for a start command instead of starting the program at once.
    #[arg(long, conflicts_with = "exit_with_program")]
    no_autostart: bool,
    /// How often processor time and memory of the program and all it started are measured.
    #[arg(long, default_value = "5s", value_parser = duration)]
    metrics_interval: Duration,
    /// Directory of what must survive the agent: which commands it has begun, and what it has reported and the
    /// server has not acknowledged. After a restart that is sent first, and enters the log once. Give an agent the
    /// same directory each time; several agents may share one.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// End when the program has ended and is not to be started again, with its exit code.
    #[arg(long)]
    exit_with_program: bool,
    /// Address of the state service; several, joined by commas, are tried in turn.
    #[arg(long, env = "SIGNALBOX_GRPC_URL", default_value = "http://127.0.0.1:50051", value_delimiter = ',')]
    grpc_url: Vec<String>,
    #[command(flatten)]
    tls: ClientTlsConfig,
    /// Token of the role agent. Better given by the environment, for others can see command lines.
    #[arg(long, env = "SIGNALBOX_TOKEN", hide_env_values = true)]
    token: Option<SecretString>,
    /// Token by which the agent enrols itself at its first start, for a key of its own, which it keeps in --state-dir
    /// and has replaced in time. Once it has its key, the token is not needed any more.
    #[arg(long, env = "SIGNALBOX_ENROLMENT_TOKEN", hide_env_values = true)]
    enrolment_token: Option<SecretString>,
    #[command(flatten)]
    pub(crate) telemetry: TelemetryConfig,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

/// Measuring more often says nothing more: the system counts processor time in ticks.
const METRICS_INTERVAL_MIN: Duration = Duration::from_millis(250);

impl RunArgs {
    /// What the agent is, and what it runs.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the argument at fault.
    pub(crate) fn into_configs(self) -> Result<(Config, ProgramConfig), ConfigError> {
        if self.metrics_interval < METRICS_INTERVAL_MIN {
            let given = format!("{} ms", self.metrics_interval.as_millis());
            return Err(ConfigError { field: "metrics-interval", expected: "at least 250ms", given });
        }
        let credential = self.credential()?;
        let kept_in = self.state_dir.as_ref().map(|dir| dir.join(format!("{}.config.json", self.id)));
        let config_delivery = match self.config_file {
            Some(path) => ConfigDelivery::File(path),
            None if self.config_env => ConfigDelivery::Env { kept_in },
            None => ConfigDelivery::None,
        };
        let program = ProgramConfig {
            cwd: self.cwd,
            env: self.env,
            restart: self.restart,
            stop_timeout: self.stop_timeout,
            config_delivery,
            autostart: !self.no_autostart,
            metrics_interval: self.metrics_interval,
            exit_with_program: self.exit_with_program,
            ..ProgramConfig::new(self.id.clone(), self.program)
        };
        let config = Config {
            grpc_urls: self.grpc_url,
            tls: self.tls,
            name: self.name,
            template: self.template,
            labels: self.labels.into_iter().collect(),
            capabilities: program.capabilities(),
            software_version: concat!("signalbox-agent ", env!("CARGO_PKG_VERSION")).into(),
            state_dir: self.state_dir,
            // A secret that is changed on the server must not take down what agents run.
            retry_refusals_once_welcomed: true,
            credential,
            ..Config::new(String::new(), SecretString::default(), self.id)
        };
        config.check()?;
        Ok((config, program))
    }
}

impl RunArgs {
    /// A token, else a key of the agent's own, else the certificate of its connection.
    fn credential(&self) -> Result<Credential, ConfigError> {
        // An empty variable is as good as none.
        let given = |token: &Option<SecretString>| {
            token.clone().filter(|token| !token.expose_secret().trim().is_empty())
        };
        let key = self.state_dir.as_ref().map(|dir| dir.join(format!("{}.key.json", self.id)));
        match (given(&self.token), given(&self.enrolment_token)) {
            (Some(_), Some(_)) => {
                let expected = "either a token or an enrolment token";
                Err(ConfigError { field: "enrolment-token", expected, given: "both".into() })
            }
            (Some(token), None) => Ok(Credential::Token(token)),
            (None, Some(token)) => Ok(Credential::Enrolment(Some(token))),
            (None, None) if key.is_some_and(|key| key.exists()) => Ok(Credential::Enrolment(None)),
            (None, None) if self.tls.tls_client_cert.is_some() => Ok(Credential::Certificate),
            (None, None) => {
                let expected = "a token, an enrolment token with --state-dir, or a client's certificate";
                Err(ConfigError { field: "token", expected, given: String::new() })
            }
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("expected KEY=VALUE".into()),
    }
}

/// Reads a duration such as `10s`, `500ms` or `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a whole number with ms, s or m, such as 10s".to_owned();
    let unit = text.find(|char: char| !char.is_ascii_digit()).ok_or_else(expected)?;
    let (number, unit) = text.split_at(unit);
    let number: u32 = number.parse().map_err(|_| expected())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number.into())),
        "s" => Ok(Duration::from_secs(number.into())),
        "m" => Ok(Duration::from_secs(60 * u64::from(number))),
        _ => Err(expected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs(args: &[&str]) -> Result<(Config, ProgramConfig), ConfigError> {
        let common = ["signalbox-agent", "run", "--token", "t", "--grpc-url", "http://a:1,http://b:2"];
        let args = Args::try_parse_from(common.iter().chain(args)).unwrap();
        match args.action {
            Action::Run(args) => args.into_configs(),
            other => panic!("expected run, got {other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn arguments_become_configurations() {
        let args = [
            "--id",
            "web-1",
            "--label",
            "a=b=c",
            "--restart",
            "on-failure",
            "--config-env",
            "--state-dir",
            "/s",
        ];
        let (config, program) = configs(&[&args[..], &["--", "sleep", "--5"]].concat()).unwrap();
        assert_eq!(config.grpc_urls, ["http://a:1", "http://b:2"]);
        assert_eq!(config.labels["a"], "b=c");
        assert!(config.capabilities.contains(&"update_config".to_owned()));
        assert_eq!(program.command, ["sleep", "--5"]);
        assert_eq!(program.restart, RestartPolicy::OnFailure);
        let kept_in = Some("/s/web-1.config.json".into());
        assert_eq!(program.config_delivery, ConfigDelivery::Env { kept_in });
    }

    #[test]
    fn a_malformed_argument_is_named() {
        let fields = [("web 1", "5s", "id"), ("web-1", "10ms", "metrics-interval")];
        for (id, interval, field) in fields {
            let error = configs(&["--id", id, "--metrics-interval", interval, "--", "true"]).unwrap_err();
            assert_eq!(error.field, field);
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "5", "s", "-1s", "1h", "5 s"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }
}
