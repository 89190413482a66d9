//! What is sent, what is sent again, and what has room.

use super::*;

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
