//! What reporters wait for, and what they hear.

use std::sync::Arc;

use signalbox_proto::v1::Rejection;

use super::*;
use crate::reports::{NotAccepted, Receipt};

#[tokio::test]
async fn a_full_buffer_makes_the_reporter_wait_until_there_is_room() {
    let limits = BufferConfig { reports_max: 8, bytes_max: 1024 * 1024 };
    let reports = Arc::new(Reports::new(limits));
    for _ in 0..7 {
        reports.push(Report::default(), Class::Normal).await.unwrap();
    }
    let waiting = tokio::spawn({
        let reports = Arc::clone(&reports);
        async move { reports.push(Report::default(), Class::Normal).await.unwrap() }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    assert_eq!(reports.next(1).unwrap().sequence, 1);
    let rejection = Rejection { sequence: 1, code: "INVALID_ARGUMENT".into(), ..Rejection::default() };
    let mut refusals = reports.refusals();
    reports.acknowledge(Ack { sequence: 1, rejections: vec![rejection] }).unwrap();
    assert_eq!(waiting.await.unwrap().place, 8);
    assert_eq!(refusals.try_recv().unwrap().code, "INVALID_ARGUMENT");
    assert_eq!((reports.refused(), reports.unacknowledged()), (1, 7));
}

async fn taken(reports: &Reports) -> Receipt {
    let mut receipt = Receipt::default();
    receipt.add(0, reports.push(Report::default(), Class::Normal).await.unwrap().verdict);
    receipt
}

#[tokio::test]
async fn whoever_reported_hears_what_became_of_it_and_never_more_than_is_known() {
    let reports = Reports::new(BufferConfig::default());
    let mut receipts = Vec::new();
    for _ in 0..5 {
        receipts.push(taken(&reports).await);
    }
    let mut receipts = receipts.into_iter();
    while reports.next(5).is_some() {}
    let rejection = |sequence, item, message: &str| Rejection {
        sequence,
        item,
        message: message.into(),
        ..Rejection::default()
    };
    let rejections = vec![rejection(2, Some(7), "a"), rejection(2, Some(9), "b"), rejection(4, None, "c")];
    reports.acknowledge(Ack { sequence: 3, rejections }).unwrap();
    assert_eq!(reports.refused(), 3);
    assert_eq!(receipts.next().unwrap().accepted().await, Ok(()));
    let Err(NotAccepted::Refused(refusals)) = receipts.next().unwrap().accepted().await else {
        panic!("expected refusals")
    };
    let refusals: Vec<_> = refusals.iter().map(|refusal| (refusal.item, &*refusal.message)).collect();
    assert_eq!(refusals, [(Some(7), "a"), (Some(9), "b")]);
    assert_eq!(receipts.next().unwrap().accepted().await, Ok(()));
    // The session ends; the next one says that the server has what it had not acknowledged.
    assert_eq!(reports.resume(5), Resume::Resend(0));
    assert!(matches!(receipts.next().unwrap().accepted().await, Err(NotAccepted::Refused(_))));
    assert_eq!(receipts.next().unwrap().accepted().await, Err(NotAccepted::Unsure));
    let lost = taken(&reports).await;
    reports.close();
    assert_eq!(lost.accepted().await, Err(NotAccepted::Ended));
}

#[tokio::test]
async fn a_report_that_no_server_takes_is_refused_at_once() {
    let reports = Reports::new(BufferConfig::default());
    let large = Report { traceparent: "x".repeat(REPORT_LEN_MAX), ..Report::default() };
    assert!(matches!(reports.push(large, Class::Normal).await, Err(ReportError::TooLarge { .. })));
}
