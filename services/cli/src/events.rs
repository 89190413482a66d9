//! Follows the log, and publishes to it.

mod lines;
mod publish;

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
        event::{EventView, event_line},
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
    let after = match args.since {
        Some(since) => Some(cursor_before(&client, since).await?),
        None => args.cursor.clone(),
    };
    let mut follow = Follow::start(client, after).await?;
    note(format_args!("following the log after {}", plain(&follow.after().to_string())));
    let mut left = args.count.unwrap_or(u64::MAX);
    loop {
        let batch = follow.next_for_reader().await?;
        for event in batch.events.iter().filter(|event| is_meant(&args, event)) {
            if output.is_json() {
                output.json_line(&EventView::new(event, &batch.cursor(event)))?;
            } else {
                output.text(event_line(event))?;
            }
            left -= 1;
            if left == 0 {
                return Ok(());
            }
        }
    }
}

fn is_meant(args: &TailArgs, event: &Event) -> bool {
    (args.types.is_empty() || args.types.iter().any(|pattern| pattern.matches(&event.r#type)))
        && (args.agents.is_empty() || args.agents.contains(&event.agent_id))
}

/// The cursor after which the log has what was committed since then.
async fn cursor_before(client: &Client, since: std::time::Duration) -> Result<Cursor, Error> {
    const WHAT: &str = "find where to begin in the log";
    let too_long = || Error::Input {
        field: "--since".into(),
        expected: "a time after 1970".into(),
        got: humantime::format_duration(since).to_string(),
    };
    let ago = time::Duration::try_from(since).map_err(|_| too_long())?;
    let at = now().checked_sub(ago).ok_or_else(too_long)?;
    let since_ms = i64::try_from(at.unix_timestamp_nanos() / 1_000_000).map_err(|_| too_long())?;
    if since_ms <= 0 {
        return Err(too_long());
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_meant_when_its_type_and_its_agent_are() {
        let args = TailArgs {
            types: vec!["agent.*".parse().unwrap(), "log.line".parse().unwrap()],
            agents: vec!["web-1".into()],
            cursor: None,
            since: None,
            count: None,
        };
        let event = |event_type: &str, agent_id: &str| Event {
            r#type: event_type.into(),
            agent_id: agent_id.into(),
            ..Event::default()
        };
        assert!(is_meant(&args, &event("agent.created", "web-1")));
        assert!(is_meant(&args, &event("log.line", "web-1")));
        assert!(!is_meant(&args, &event("agent.created", "web-2")));
        assert!(!is_meant(&args, &event("command.issued", "web-1")));
        let all = TailArgs { types: Vec::new(), agents: Vec::new(), ..args };
        assert!(is_meant(&all, &event("command.issued", "")));
    }
}
