//! Reads the audit: who called what, and from where.

use std::{collections::VecDeque, net::IpAddr};

use signalbox_proto::v1::{AuthenticateRequest, Event, Role};
use tonic::Status;

use crate::{
    args::{GlobalArgs, audit::AuditArgs},
    client::Client,
    error::Error,
    events::{cursor_before, moment_before},
    follow::Follow,
    output::{
        Output,
        audit::{AuditView, Told, audit_line},
        note,
    },
};

const WHAT: &str = "read the audit";
/// The type of the events that tell of calls.
const AUDIT_CALL: &str = "audit.call";

/// Shows the calls that were asked for, the newest last.
pub(crate) async fn run(global: &GlobalArgs, args: AuditArgs, output: &mut Output) -> Result<(), Error> {
    let client = Client::connect(global).await?;
    check_role(&client).await?;
    let until_ms = args.until.map(moment_before).transpose()?.unwrap_or(i64::MAX);
    let after = cursor_before(&client, Some(args.since)).await?;
    let mut follow = Follow::start(client, Some(after)).await?;
    let (mut newest, mut left_out) = (VecDeque::new(), 0_u64);
    while follow.after().revision < follow.head() {
        let batch = follow.next_for_reader().await?;
        for event in &batch.events {
            let Some(told) = told(event).filter(|told| is_meant(&args, told)) else { continue };
            if milliseconds(event) >= until_ms {
                continue;
            }
            if newest.len() == args.limit {
                newest.pop_front();
                left_out += 1;
            }
            newest.push_back((batch.cursor(event), event.clone(), told));
        }
    }
    for (cursor, event, told) in newest {
        show(&AuditView::new(&event, &cursor, told), output)?;
    }
    if left_out > 0 {
        note(format_args!("{left_out} earlier calls are not shown; see --limit"));
    }
    if !args.follow {
        return Ok(());
    }
    loop {
        let batch = follow.next_for_reader().await?;
        for event in &batch.events {
            if let Some(told) = told(event).filter(|told| is_meant(&args, told)) {
                show(&AuditView::new(event, &batch.cursor(event), told), output)?;
            }
        }
    }
}

/// Whoever is not shown the audit would see nothing, and take that for the truth.
async fn check_role(client: &Client) -> Result<(), Error> {
    let who = client.call(WHAT, client.access().authenticate(AuthenticateRequest::default())).await?;
    match who.role() {
        Role::Admin => Ok(()),
        role => {
            let message = format!("the role {} is not shown the audit", role.word());
            Err(client.refused(WHAT, Status::permission_denied(message)))
        }
    }
}

fn told(event: &Event) -> Option<Told> {
    (event.r#type == AUDIT_CALL).then(|| serde_json::from_slice(&event.data).unwrap_or_default())
}

fn milliseconds(event: &Event) -> i64 {
    event.committed_at.as_ref().map_or(0, |at| at.seconds * 1000 + i64::from(at.nanos) / 1_000_000)
}

fn is_meant(args: &AuditArgs, told: &Told) -> bool {
    let any = |wanted: &[String], has: &dyn Fn(&str) -> bool| {
        wanted.is_empty() || wanted.iter().any(|wanted| has(wanted))
    };
    let address = told.address.as_deref().and_then(|address| address.parse::<IpAddr>().ok());
    any(&args.actors, &|actor| told.actor == actor)
        && any(&args.methods, &|method| is_method(method, &told.method))
        && any(&args.targets, &|id| told.targets.iter().any(|target| target.id == id))
        && (args.addresses.is_empty() || address.is_some_and(|address| args.addresses.contains(&address)))
        && (!args.refused || told.outcome != "done")
}

/// Whether a method is meant by its whole name, its own alone, or its service's.
fn is_method(wanted: &str, method: &str) -> bool {
    let (service, name) = method.split_once('.').unwrap_or_default();
    wanted == method || wanted == name || wanted.strip_suffix(".*") == Some(service)
}

fn show(view: &AuditView<'_>, output: &mut Output) -> Result<(), Error> {
    if output.is_json() { output.json_line(view) } else { output.text(audit_line(view)) }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Topic};

    fn parsed(line: &str) -> AuditArgs {
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Topic::Audit(args) = cli.topic else { panic!("no audit: {line}") };
        args
    }

    fn call() -> Told {
        serde_json::from_str(
            r#"{"method":"CommandService.IssueCommand","outcome":"done","actor":"ann","role":"operator",
                "address":"2001:db8::7","targets":[{"kind":"command","id":"c1"},{"kind":"agent","id":"web-1"}]}"#,
        )
        .unwrap()
    }

    #[test]
    fn a_call_is_meant_when_all_that_was_asked_for_holds() {
        let meant = |line: &str| is_meant(&parsed(&format!("signalbox audit {line}")), &call());
        for line in [
            "",
            "--actor ben --actor ann",
            "--method IssueCommand",
            "--method CommandService.*",
            "--method CommandService.IssueCommand --target web-1",
            "--address 2001:0db8::7",
        ] {
            assert!(meant(line), "{line}");
        }
        for line in ["--actor ben", "--method Issue", "--target web-2", "--address 127.0.0.1", "--refused"] {
            assert!(!meant(line), "{line}");
        }
    }

    #[test]
    fn a_time_to_end_and_one_without_end_exclude_each_other() {
        let both = ["signalbox", "audit", "--until", "1h", "--follow"];
        assert!(Cli::try_parse_from(both).is_err());
        assert!(Cli::try_parse_from(["signalbox", "audit", "--limit", "0"]).is_err());
    }
}
