//! Follows the log, and publishes to it.

mod lines;
mod publish;

pub(crate) use publish::without_place;

use signalbox_proto::v1::{Cursor, Event, ReadRequest};
use signalbox_telemetry::now;

use crate::{
    args::{
        GlobalArgs,
        events::{EventsCommand, TailArgs},
    },
    client::Client,
    error::Error,
    follow::Follow,
    output::{
        Output,
        event::{EventView, delta_line, event_line},
        note, plain,
    },
};

/// Does what was asked about events.
pub(crate) async fn run(global: &GlobalArgs, what: EventsCommand, output: &mut Output) -> Result<(), Error> {
    match what {
        EventsCommand::Tail(args) => tail(Client::connect(global).await?, args, output).await,
        EventsCommand::Publish(args) => {
            let lines = lines::Lines::open(&args.file).await?;
            publish::publish(&Client::connect(global).await?, lines, output).await
        }
    }
}

async fn tail(client: Client, args: TailArgs, output: &mut Output) -> Result<(), Error> {
    for pattern in &args.types {
        if !signalbox_catalog::event_types().any(|event_type| pattern.matches(event_type.name)) {
            note(format_args!(
                "no type that this program knows is like {pattern}; waiting for it all the same"
            ));
        }
    }
    let after = match (args.since, &args.cursor) {
        (Some(since), _) => Some(cursor_before(&client, Some(since)).await?),
        (None, Some(cursor)) => Some(cursor.clone()),
        (None, None) if args.no_follow => Some(cursor_before(&client, None).await?),
        (None, None) => None,
    };
    let mut follow = Follow::start(client, after).await?;
    let end = if args.no_follow { follow.head() } else { u64::MAX };
    let doing = if args.no_follow { "reading" } else { "following" };
    note(format_args!("{doing} the log after {}", plain(&follow.after().to_string())));
    let mut left = args.count.unwrap_or(u64::MAX);
    while follow.after().revision < end {
        let batch = follow.next_for_reader().await?;
        let asked = batch.events.iter().filter(|event| event.revision <= end && is_meant(&args, event));
        for event in asked {
            if output.is_json() {
                output.json_line(&EventView::new(event, &batch.cursor(event)))?;
            } else {
                output.text(event_line(event))?;
                if let Some(delta) = delta_line(event).filter(|_| args.delta) {
                    output.text(delta)?;
                }
            }
            left -= 1;
            if left == 0 {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn is_meant(args: &TailArgs, event: &Event) -> bool {
    let has = |(name, values): &(String, Vec<String>)| {
        event
            .attributes
            .get(name)
            .is_some_and(|given| given.values.iter().any(|value| values.contains(value)))
    };
    // Of an attribute that was named twice, either's values will do.
    let one_of = |(name, _): &(String, Vec<String>)| {
        args.attributes.iter().any(|filter| filter.0 == *name && has(filter))
    };
    (args.types.is_empty() || args.types.iter().any(|pattern| pattern.matches(&event.r#type)))
        && (args.agents.is_empty() || args.agents.contains(&event.agent_id))
        && (args.subjects.is_empty() || args.subjects.contains(&event.subject))
        && args.attributes.iter().all(one_of)
}

/// The cursor after which the log has what was committed since then; all that it has, where that is not said.
pub(crate) async fn cursor_before(
    client: &Client,
    since: Option<std::time::Duration>,
) -> Result<Cursor, Error> {
    const WHAT: &str = "find where to begin in the log";
    let since_ms = since.map(moment_before).transpose()?.unwrap_or_default();
    // The first event is enough: the log is followed from it on.
    let request = ReadRequest { tenant_id: String::new(), after: None, limit: 1, since_ms };
    let read = client.call(WHAT, client.watch().read(request)).await?;
    let mut cursor =
        read.next.ok_or_else(|| Error::Answer { what: WHAT.into(), problem: "has no cursor" })?;
    if let Some(first) = read.events.first() {
        cursor.revision = first.revision.saturating_sub(1);
    }
    Ok(cursor)
}

/// The moment so long ago, in milliseconds since 1970.
pub(crate) fn moment_before(since: std::time::Duration) -> Result<i64, Error> {
    let too_long = || Error::Input {
        field: "--since".into(),
        expected: "a time after 1970".into(),
        got: humantime::format_duration(since).to_string(),
    };
    let ago = time::Duration::try_from(since).map_err(|_| too_long())?;
    let at = now().checked_sub(ago).ok_or_else(too_long)?;
    let since_ms = i64::try_from(at.unix_timestamp_nanos() / 1_000_000).map_err(|_| too_long())?;
    if since_ms > 0 { Ok(since_ms) } else { Err(too_long()) }
}

#[cfg(test)]
mod tests {
    use signalbox_proto::v1::AttributeValues;

    use super::*;

    use clap::Parser as _;

    use crate::args::{Cli, Topic};

    fn parsed(line: &str) -> TailArgs {
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Topic::Events(EventsCommand::Tail(args)) = cli.topic else { panic!("no tail: {line}") };
        args
    }

    #[test]
    fn an_event_is_meant_when_it_is_about_one_and_has_every_attribute() {
        let args = parsed(
            "signalbox events tail -s inc_1 --attribute severity=HIGH,LOW --attribute region=eu --attribute region=us",
        );
        let event = |subject: &str, attributes: &[(&str, &str)]| Event {
            subject: subject.into(),
            attributes: attributes
                .iter()
                .map(|&(name, value)| {
                    (name.to_owned(), AttributeValues { values: vec!["x".into(), value.into()] })
                })
                .collect(),
            ..Event::default()
        };
        assert!(is_meant(&args, &event("inc_1", &[("severity", "LOW"), ("region", "us")])));
        assert!(!is_meant(&args, &event("inc_2", &[("severity", "LOW"), ("region", "us")])));
        assert!(!is_meant(&args, &event("inc_1", &[("severity", "MEDIUM"), ("region", "us")])));
        assert!(!is_meant(&args, &event("inc_1", &[("severity", "LOW")])));
    }

    #[test]
    fn an_event_is_meant_when_its_type_and_its_agent_are() {
        let args = parsed("signalbox events tail -t agent.* -t log.line -a web-1");
        let event = |event_type: &str, agent_id: &str| Event {
            r#type: event_type.into(),
            agent_id: agent_id.into(),
            ..Event::default()
        };
        assert!(is_meant(&args, &event("agent.created", "web-1")));
        assert!(is_meant(&args, &event("log.line", "web-1")));
        assert!(!is_meant(&args, &event("agent.created", "web-2")));
        assert!(!is_meant(&args, &event("command.issued", "web-1")));
        let all = parsed("signalbox events tail");
        assert!(is_meant(&all, &event("command.issued", "")));
    }
}
