//! The arguments of `signalbox-agent simulate`.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use signalbox_agent::{ClientTlsConfig, Config, ConfigError};
use signalbox_settings::{Check, Problem};
use signalbox_telemetry::TelemetryConfig;

use super::check::unreachable;
use crate::simulate::{Credentials, STORIES_PER_MINUTE, Setting, Story};

const EXAMPLES: &str = "\
Examples:
  signalbox-agent simulate
  signalbox-agent simulate --rate 60 --stories incident,alert
  signalbox-agent simulate --seed 7 --limit 14      one telling of every side of every story, then the end

A seed determines what is reported, ids included, so it can be played once in a tenant. Without one each run has \
its own, which its log names.

It plays the agents detection-agent, analysis-agent, remediation-agent, inference-1, generator-1 and monitor-1, \
survives a server that restarts, and ends on SIGTERM, SIGINT or SIGHUP.";

/// The arguments of `simulate`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SimulateArgs {
    /// Stories that begin each minute: 0.1 to 6000. A story has about ten to thirty reports; its pace grows with
    /// the rate, so that about as many are under way at any time.
    #[arg(long, default_value_t = f64::from(STORIES_PER_MINUTE), value_parser = rate)]
    rate: f64,
    /// What the dice begin with: the same seed plays the same.
    #[arg(long)]
    seed: Option<u64>,
    /// The stories to tell, joined by commas; all of them when absent.
    #[arg(long, value_enum, value_delimiter = ',')]
    stories: Vec<Story>,
    /// End after so many stories.
    #[arg(long)]
    limit: Option<u64>,
    /// Token of the role operator or admin, for what only people may do: approvals, assignments, commands, and the
    /// administration of agents. Without it that is left out. Better given by the environment, for others can see
    /// command lines.
    #[arg(long, env = "SIGNALBOX_ADMIN_TOKEN", hide_env_values = true)]
    people_token: Option<SecretString>,
    /// Address of the state service; several, joined by commas, are tried in turn. People ask the first.
    #[arg(long, env = "SIGNALBOX_GRPC_URL", default_value = "http://127.0.0.1:50051", value_delimiter = ',')]
    grpc_url: Vec<String>,
    #[command(flatten)]
    tls: ClientTlsConfig,
    /// Token of the role agent. Better given by the environment, for others can see command lines.
    #[arg(long, env = "SIGNALBOX_TOKEN", hide_env_values = true)]
    token: SecretString,
    #[command(flatten)]
    pub(crate) telemetry: TelemetryConfig,
}

/// How long the end waits for what was reported to be acknowledged.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

impl SimulateArgs {
    /// What to play.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the argument at fault.
    pub(crate) fn into_setting(self) -> Result<Setting, ConfigError> {
        let agents = Config {
            grpc_urls: self.grpc_url,
            tls: self.tls,
            software_version: concat!("signalbox-agent ", env!("CARGO_PKG_VERSION")).into(),
            flush_timeout: FLUSH_TIMEOUT,
            retry_refusals_once_welcomed: true,
            ..Config::new(String::new(), self.token, "simulator")
        };
        agents.check()?;
        // An empty variable is as good as none.
        let token = self.people_token.filter(|token| !token.expose_secret().is_empty());
        let people = token.map(|token| Credentials {
            grpc_url: agents.grpc_urls[0].clone(),
            tls: agents.tls.clone(),
            token,
        });
        let stories = if self.stories.is_empty() { Story::ALL.to_vec() } else { self.stories };
        Ok(Setting { agents, people, rate: self.rate, seed: self.seed, stories, limit: self.limit })
    }
}

impl Check for SimulateArgs {
    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.telemetry.problems();
        match self.clone().into_setting() {
            Ok(setting) => problems.extend(unreachable(&setting.agents)),
            Err(error) => problems.push(Problem::named("id", &error)),
        }
        problems
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.1..=6000.0).contains(rate));
    rate.ok_or_else(|| "expected stories each minute, from 0.1 to 6000".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Action, Args};

    fn setting(args: &[&str]) -> Setting {
        let common = ["signalbox-agent", "simulate", "--token", "t", "--grpc-url", "http://a:1"];
        match Args::try_parse_from(common.iter().chain(args)).unwrap().action {
            Action::Simulate(args) => args.into_setting().unwrap(),
            other => panic!("expected simulate, got {other:?}"),
        }
    }

    #[test]
    fn arguments_become_a_setting() {
        let setting =
            setting(&["--rate", "60", "--seed", "7", "--stories", "graph,fleet", "--people-token", "p"]);
        assert_eq!((setting.rate, setting.seed, setting.limit), (60.0, Some(7), None));
        assert_eq!(setting.stories, [Story::Graph, Story::Fleet]);
        assert_eq!(setting.people.unwrap().grpc_url, "http://a:1");
    }

    #[test]
    fn without_arguments_all_is_played_and_an_empty_token_is_none() {
        let setting = setting(&["--people-token", ""]);
        assert_eq!(setting.stories, Story::ALL);
        assert!(setting.people.is_none());
    }

    #[test]
    fn a_rate_is_within_reason() {
        for bad in ["0", "-1", "NaN", "inf", "6001", "x"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }
}
