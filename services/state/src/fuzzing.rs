//! What the fuzzers call: a report of an agent, from its bytes to the events that it would log. Built for them and for
//! tests alone.
//!
//! It must know neither connections nor the database.

use prost::Message as _;
use serde_json::{Map, Value};
use signalbox_proto::v1::{self, report::Body, resource_change::Change as Changed};
use time::{OffsetDateTime, macros::datetime};
use uuid::Uuid;

use crate::{
    domain::{Change as _, Draft, Needs, Origin, View, report::Accepted, session::Open},
    grpc::accept,
};

const AGENT_ID: &str = "web-1";
const RUN: Uuid = Uuid::from_u128(7);
const NOW: OffsetDateTime = datetime!(2026-11-21 10:00:01.25 UTC);
/// Longest words on a refusal: whatever was sent, its answer is short.
const REFUSAL_LEN_MAX: usize = 4096;

/// Takes bytes in as a report, and as what a sound report holds: the data of an event, a resource, a line, a status.
///
/// # Panics
///
/// When something that an agent can send is not taken or refused as it should be.
pub fn report(bytes: &[u8]) {
    if let Ok(report) = v1::Report::decode(bytes) {
        take(report);
    }
    let Some((which, data)) = bytes.split_first() else { return };
    let (which, data) = (usize::from(*which), data.to_vec());
    for body in bodies(which, &data) {
        take(v1::Report { body: Some(body), ..v1::Report::default() });
    }
}

/// Sound reports around any data, of the type and kind that `which` picks.
fn bodies(which: usize, data: &[u8]) -> Vec<Body> {
    let pick = |names: Vec<&'static str>| names[which % names.len()].to_owned();
    let event = v1::EventInput {
        r#type: pick(signalbox_catalog::event_types().map(|known| known.name).collect()),
        data: data.to_vec().into(),
        ..v1::EventInput::default()
    };
    let kind = pick(signalbox_catalog::kinds().map(|kind| kind.name.as_str()).collect());
    let change =
        |id: &str, change| v1::ResourceChange { kind: kind.clone(), id: id.into(), change: Some(change) };
    let changes = vec![
        change("", Changed::Create(data.to_vec().into())),
        change("x1", Changed::Create(data.to_vec().into())),
        change("x1", Changed::MergePatch(data.to_vec().into())),
    ];
    let text = String::from_utf8_lossy(data).into_owned();
    let record = v1::LogRecord {
        category: "agent".into(),
        message: text.clone(),
        data: data.to_vec().into(),
        ..v1::LogRecord::default()
    };
    let status = v1::StatusReport {
        status: v1::AgentStatus::Active.into(),
        reason: text,
        details: data.to_vec().into(),
        ..v1::StatusReport::default()
    };
    vec![
        Body::Events(v1::EventBatch { events: vec![event] }),
        Body::Resources(v1::ResourceChangeBatch { changes }),
        Body::Logs(v1::LogBatch { records: vec![record] }),
        Body::Status(status),
    ]
}

/// Takes the first report of a run into an empty log.
fn take(report: v1::Report) {
    let mut view = View::new(0, Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let origin = Origin::agent(AGENT_ID, String::new(), false);
    let opened =
        Draft::run(&mut view, &origin, |draft| opening().apply(draft, NOW)).expect("the agent is new");
    let before = view.events.len();
    let report = v1::Report { sequence: 1, ..report };
    let (accept, origin) = accept(AGENT_ID.into(), opened.session_epoch, RUN, report, false);
    accept.needs(&mut Needs::default());
    let accepted = Draft::run(&mut view, &origin, |draft| accept.apply(draft, NOW));
    let Ok(Accepted::Taken(refusals)) = accepted else {
        panic!("the first report uses up its number, whatever it says: {accepted:?}")
    };
    for refusal in &refusals {
        let len = refusal.message.len() + refusal.field.len();
        assert!(len <= REFUSAL_LEN_MAX, "{len} bytes: {refusal:?}");
    }
    for event in &view.events[before..] {
        let data = serde_json::from_str::<Map<String, Value>>(event.data.get());
        data.expect("the data of events are JSON objects");
        assert!(!event.event_type.is_empty() && event.revision > 0 && event.change_end >= event.revision);
    }
}

fn opening() -> Open {
    Open {
        agent_id: AGENT_ID.into(),
        instance_uid: RUN,
        name: String::new(),
        template: String::new(),
        labels: [].into(),
        capabilities: Vec::new(),
        software_version: String::new(),
        commands_in_progress: Vec::new(),
        ledger_durable: false,
        replica_id: Uuid::from_u128(1),
        key_id: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sound reports and data, to be damaged.
    fn sound() -> Vec<Vec<u8>> {
        let data = [
            r#"{"entity":"user:1","score":0.5,"details":{"x":[1,2]}}"#,
            r#"{"name":"x","severity":"HIGH","status":"OPEN","title":"t","type":"ddos"}"#,
            r#"{"a":1e308,"b":"\u0000\ud83d\ude00","a":null}"#,
        ];
        let mut reports = Vec::new();
        for data in data {
            for which in 0..=u8::MAX {
                reports.push([&[which], data.as_bytes()].concat());
            }
            for body in bodies(3, data.as_bytes()) {
                reports.push(v1::Report { body: Some(body), ..v1::Report::default() }.encode_to_vec());
            }
        }
        reports
    }

    #[test]
    fn whatever_an_agent_reports_is_taken_or_refused() {
        let mut state = 2026_u64;
        let mut random = |below: usize| {
            // Constants of a linear congruential generator (Knuth); the high bits are the random ones.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).expect("31 bits") % below
        };
        for mut bytes in sound() {
            report(&bytes);
            for _ in 0..4 {
                match random(3) {
                    0 => bytes.truncate(random(bytes.len() + 1)),
                    1 => bytes.insert(random(bytes.len() + 1), u8::try_from(random(256)).expect("a byte")),
                    _ if bytes.is_empty() => {}
                    _ => {
                        let at = random(bytes.len());
                        bytes[at] ^= 1 << random(8);
                    }
                }
                report(&bytes);
            }
        }
    }
}
