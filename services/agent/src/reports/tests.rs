//! What is sent, what is sent again, and what has room.

use std::collections::HashMap;

use signalbox_proto::v1::{CommandUpdate, ExecutionState};

use super::{
    keeping::{WRITE_BYTES, Write},
    spool::Batch,
    *,
};

const LIMITS: BufferConfig = BufferConfig { reports_max: 16, bytes_max: 1024 * 1024 };

fn buffer(reports: usize) -> ResendBuffer {
    let mut buffer = ResendBuffer::new(LIMITS, Uuid::nil());
    for at in 1..=reports as u64 {
        assert_eq!(buffer.push(Report::default(), Class::Commands).unwrap().place, at);
    }
    buffer
}

fn send_all(buffer: &mut ResendBuffer, in_flight_max: usize) -> Vec<u64> {
    std::iter::from_fn(|| buffer.next(in_flight_max)).map(|report| report.sequence).collect()
}

#[test]
fn no_more_are_under_way_than_the_server_takes() {
    let mut buffer = buffer(5);
    assert_eq!(send_all(&mut buffer, 2), [1, 2]);
    buffer.acknowledge(1).unwrap();
    assert_eq!(send_all(&mut buffer, 2), [3]);
    buffer.acknowledge(3).unwrap();
    assert_eq!(send_all(&mut buffer, 2), [4, 5]);
    buffer.acknowledge(5).unwrap();
    assert_eq!((buffer.bytes, buffer.settled(), buffer.kept.len()), (0, 5, 0));
}

#[test]
fn a_new_session_sends_again_exactly_what_the_server_lacks() {
    let mut buffer = buffer(4);
    assert_eq!(send_all(&mut buffer, 8), [1, 2, 3, 4]);
    buffer.acknowledge(1).unwrap();
    assert_eq!(buffer.resume(2, Uuid::max()), Resume::Resend(2));
    buffer.push(Report::default(), Class::Normal).unwrap();
    assert_eq!(send_all(&mut buffer, 8), [3, 4, 5]);
    assert_eq!(buffer.instance_uid(), Uuid::nil());
}

#[test]
fn an_old_acknowledgement_is_nothing_and_one_of_the_unsent_is_an_error() {
    let mut buffer = buffer(3);
    send_all(&mut buffer, 2);
    buffer.acknowledge(2).unwrap();
    buffer.acknowledge(1).unwrap();
    assert_eq!(buffer.acknowledge(3), Err(2));
    assert_eq!(send_all(&mut buffer, 2), [3]);
}

#[test]
fn a_server_that_lost_reports_gets_the_rest_under_another_run() {
    let mut buffer = buffer(5);
    send_all(&mut buffer, 8);
    buffer.acknowledge(3).unwrap();
    assert_eq!(buffer.resume(1, Uuid::max()), Resume::Renumbered);
    assert_eq!(buffer.instance_uid(), Uuid::max());
    assert_eq!(buffer.resume(0, Uuid::nil()), Resume::Resend(2));
    assert_eq!(send_all(&mut buffer, 8), [1, 2]);
    assert_eq!((buffer.taken(), buffer.settled()), (5, 3));
}

#[test]
fn a_count_ahead_of_this_run_is_another_runs() {
    assert_eq!(buffer(2).resume(3, Uuid::max()), Resume::Renumbered);
}

#[test]
fn commands_have_room_when_logs_and_the_rest_have_none() {
    let mut buffer = ResendBuffer::new(LIMITS, Uuid::nil());
    let fill = |buffer: &mut ResendBuffer, class| {
        std::iter::repeat_with(|| buffer.push(Report::default(), class)).take_while(Result::is_ok).count()
    };
    assert_eq!(fill(&mut buffer, Class::Logs), 12);
    assert_eq!(fill(&mut buffer, Class::Normal), 2);
    assert_eq!(fill(&mut buffer, Class::Commands), 2);
}

#[test]
fn bytes_are_bounded_too() {
    let mut buffer = ResendBuffer::new(LIMITS, Uuid::nil());
    let large = Report { traceparent: "x".repeat(500 * 1024), ..Report::default() };
    assert!(buffer.push(large.clone(), Class::Normal).is_ok());
    assert!(buffer.push(large.clone(), Class::Normal).is_err());
    assert!(buffer.push(large.clone(), Class::Commands).is_ok());
    send_all(&mut buffer, 2);
    buffer.acknowledge(2).unwrap();
    assert!(buffer.push(large, Class::Normal).is_ok());
}

fn spooled(acknowledged: u64, numbers: std::ops::Range<u64>) -> Batch {
    let reports = numbers.map(|sequence| Report { sequence, ..Report::default() }).collect();
    Batch { instance_uid: Uuid::nil(), acknowledged, reports }
}

fn push(buffer: &mut ResendBuffer) -> u64 {
    buffer.push(Report::default(), Class::Commands).unwrap().place
}

#[test]
fn nothing_is_sent_or_safe_before_the_spool_has_it() {
    let mut buffer = ResendBuffer::of_spool(LIMITS, spooled(0, 1..1));
    push(&mut buffer);
    push(&mut buffer);
    let write = buffer.unspooled().unwrap();
    assert_eq!(write, Write::Append(spooled(0, 1..3)));
    push(&mut buffer);
    assert_eq!((send_all(&mut buffer, 8), buffer.safe()), (vec![], 0));
    buffer.has_spooled(&write);
    assert_eq!((send_all(&mut buffer, 8), buffer.safe()), (vec![1, 2], 2));
    buffer.acknowledge(1).unwrap();
    let write = buffer.unspooled().unwrap();
    assert_eq!(write, Write::Append(spooled(1, 3..4)));
    buffer.acknowledge(2).unwrap();
    buffer.has_spooled(&write);
    assert_eq!((send_all(&mut buffer, 8), buffer.safe()), (vec![3], 3));
    assert_eq!(buffer.unspooled(), None);
}

#[test]
fn a_run_goes_on_in_the_next_process_with_the_next_number() {
    for (last_accepted, sent_again) in [(3, vec![4, 5]), (4, vec![5]), (5, vec![])] {
        let mut buffer = ResendBuffer::of_spool(LIMITS, spooled(3, 4..6));
        assert_eq!(buffer.resume(last_accepted, Uuid::max()), Resume::Resend(sent_again.len()));
        assert_eq!(send_all(&mut buffer, 8), sent_again);
        assert_eq!(push(&mut buffer), 3);
        buffer.has_spooled(&buffer.unspooled().unwrap());
        assert_eq!(send_all(&mut buffer, 8), [6]);
    }
}

#[test]
fn a_server_that_has_more_than_the_spool_gets_what_is_new_as_another_run() {
    let mut buffer = ResendBuffer::of_spool(LIMITS, spooled(3, 4..6));
    push(&mut buffer);
    buffer.has_spooled(&buffer.unspooled().unwrap());
    // It has reports of the numbers 6 and 7, but not those that have them here.
    assert_eq!(buffer.resume(7, Uuid::max()), Resume::Renumbered);
    assert_eq!(buffer.resume(0, Uuid::nil()), Resume::Resend(1));
    assert!(send_all(&mut buffer, 8).is_empty(), "not before the spool has the new number");
    let write = buffer.unspooled().unwrap();
    assert_eq!(write, Write::Replace(Batch { instance_uid: Uuid::max(), ..spooled(0, 1..2) }));
    buffer.has_spooled(&write);
    assert_eq!(send_all(&mut buffer, 8), [1]);
    assert_eq!((buffer.taken(), buffer.settled(), buffer.unspooled()), (3, 2, None));
}

#[test]
fn a_write_that_was_under_way_when_reports_were_numbered_anew_counts_for_nothing() {
    let mut buffer = ResendBuffer::of_spool(LIMITS, spooled(3, 4..6));
    push(&mut buffer);
    let write = buffer.unspooled().unwrap();
    assert_eq!(buffer.resume(1, Uuid::max()), Resume::Renumbered);
    buffer.has_spooled(&write);
    assert_eq!((buffer.resume(0, Uuid::nil()), send_all(&mut buffer, 8)), (Resume::Resend(3), vec![]));
    buffer.has_spooled(&buffer.unspooled().unwrap());
    assert_eq!(send_all(&mut buffer, 8), [1, 2, 3]);
}

#[test]
fn writes_are_bounded_and_the_rest_follows() {
    let mut buffer = ResendBuffer::of_spool(BufferConfig::default(), spooled(0, 1..1));
    let large = Report { traceparent: "x".repeat(WRITE_BYTES / 2), ..Report::default() };
    for _ in 0..3 {
        buffer.push(large.clone(), Class::Normal).unwrap();
    }
    for upto in [2, 3] {
        let write = buffer.unspooled().unwrap();
        let Write::Append(batch) = &write else { panic!("expected to append") };
        assert_eq!(batch.last(), upto);
        buffer.has_spooled(&write);
    }
    assert_eq!(buffer.unspooled(), None);
}

#[test]
fn the_ends_of_commands_that_wait_to_be_sent_are_known() {
    let update = |command_id: &str, state: ExecutionState| {
        let update =
            CommandUpdate { command_id: command_id.into(), state: state.into(), ..CommandUpdate::default() };
        Report { body: Some(Body::Command(update)), ..Report::default() }
    };
    let mut buffer = buffer(1);
    for (command_id, state) in [
        ("1", ExecutionState::InProgress),
        ("1", ExecutionState::Succeeded),
        ("2", ExecutionState::InProgress),
    ] {
        buffer.push(update(command_id, state), Class::Commands).unwrap();
    }
    send_all(&mut buffer, 1);
    buffer.acknowledge(1).unwrap();
    assert_eq!(buffer.ended_commands(), HashMap::from([("1".to_owned(), 3)]));
}
