//! Enrolment tokens on the command line.

use serde_json::json;

use crate::{
    house::{House, VIEWER_TOKEN},
    program::{end_of, program_for, run},
};

#[tokio::test]
async fn a_token_is_printed_alone_and_once() {
    let house = House::open().await;
    let created = run(&house, &["enrolment", "create", "--name", "web"]).await;
    assert_eq!((created.code, created.stdout.as_str()), (0, "sbe_token1_hush\n"), "{created:?}");
    assert!(created.stderr.contains("token1") && !created.stderr.contains("hush"), "{created:?}");
    let all =
        "enrolment create --name db --agents db-* --uses 9 --label env=prod --key-ttl 2h --again -o json";
    let created = run(&house, &all.split(' ').collect::<Vec<_>>()).await.json();
    assert_eq!(created["secret"], "sbe_token2_hush");
    assert_eq!((&created["uses_max"], &created["agent_id_pattern"]), (&json!(9), &json!("db-*")));
    assert_eq!((&created["labels"]["env"], &created["key_ttl_s"]), (&json!("prod"), &json!(7200)));
    assert_eq!(created["allows_again"], true);
    for args in [&["enrolment", "list"][..], &["enrolment", "list", "-ao", "json"]] {
        let listed = run(&house, args).await;
        assert!(
            listed.stdout.contains("token1") && listed.stdout.contains("token2"),
            "all pages: {listed:?}"
        );
        assert!(!listed.stdout.contains("hush"), "{listed:?}");
    }
}

#[tokio::test]
async fn a_revoked_token_is_listed_on_request_only() {
    let house = House::open().await;
    for name in ["one", "two"] {
        run(&house, &["enrolment", "create", "--name", name]).await;
    }
    let revoked = run(&house, &["enrolment", "revoke", "token1"]).await;
    assert_eq!(revoked.stdout, "revoked token1, one\n", "{revoked:?}");
    let listed = run(&house, &["enrolment", "list"]).await;
    assert!(listed.stdout.contains("token2") && !listed.stdout.contains("token1"), "{listed:?}");
    let unknown = run(&house, &["enrolment", "revoke", "nobody"]).await;
    assert!(unknown.code != 0 && unknown.stderr.contains("revoke the enrolment token nobody"), "{unknown:?}");
}

#[tokio::test]
async fn enrolment_is_for_administrators_and_within_bounds() {
    let house = House::open().await;
    let mut viewer = program_for(&house, &["enrolment", "create", "--name", "x"]);
    viewer.env("SIGNALBOX_TOKEN", VIEWER_TOKEN);
    let refused = end_of(viewer).await;
    assert!(refused.code != 0 && refused.stdout.is_empty(), "{refused:?}");
    let none = run(&house, &["enrolment", "create", "--name", "x", "--uses", "0"]).await;
    assert_eq!(none.code, 2, "{none:?}");
}
