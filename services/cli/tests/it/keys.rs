//! API keys on the command line.

use serde_json::json;

use crate::{
    house::{House, VIEWER_TOKEN},
    program::{end_of, program_for, run},
};

#[tokio::test]
async fn a_key_is_printed_alone_and_once() {
    let house = House::open().await;
    let created = run(&house, &["keys", "create", "--name", "reports", "--role", "viewer"]).await;
    assert_eq!((created.code, created.stdout.as_str()), (0, "sbk_key1_hush\n"), "{created:?}");
    assert!(created.stderr.contains("key1") && !created.stderr.contains("hush"), "{created:?}");
    let in_json = ["keys", "create", "--name", "b", "--role", "agent", "--ttl", "90days", "-o", "json"];
    let created = run(&house, &in_json).await.json();
    assert_eq!(created["secret"], "sbk_key2_hush");
    assert_eq!((&created["role"], &created["expires_at"]), (&json!("agent"), &json!("2030-03-17T17:46:40Z")));
    for listed in
        [run(&house, &["keys", "list", "--all"]).await, run(&house, &["keys", "list", "-ao", "json"]).await]
    {
        assert!(listed.stdout.contains("key1") && listed.stdout.contains("key2"), "all pages: {listed:?}");
        assert!(!listed.stdout.contains("hush"), "{listed:?}");
    }
}

#[tokio::test]
async fn a_revoked_key_is_listed_on_request_only() {
    let house = House::open().await;
    for name in ["one", "two"] {
        run(&house, &["keys", "create", "--name", name, "--role", "viewer"]).await;
    }
    let revoked = run(&house, &["keys", "revoke", "key1"]).await;
    assert_eq!(revoked.stdout, "revoked key1, one\n", "{revoked:?}");
    let listed = run(&house, &["keys", "list"]).await;
    assert!(listed.stdout.contains("key2") && !listed.stdout.contains("key1"), "{listed:?}");
    let all = run(&house, &["keys", "list", "--all", "-o", "json"]).await.json();
    assert_eq!(all["keys"][1]["revoked_at"], "2030-03-17T17:46:40Z");
    let unknown = run(&house, &["keys", "revoke", "nobody"]).await;
    assert!(unknown.code != 0 && unknown.stderr.contains("revoke the API key nobody"), "{unknown:?}");
}

#[tokio::test]
async fn keys_are_for_administrators_and_never_an_edges() {
    let house = House::open().await;
    let mut viewer = program_for(&house, &["keys", "create", "--name", "x", "--role", "viewer"]);
    viewer.env("SIGNALBOX_TOKEN", VIEWER_TOKEN);
    let refused = end_of(viewer).await;
    assert!(refused.code != 0 && refused.stdout.is_empty(), "{refused:?}");
    let service = run(&house, &["keys", "create", "--name", "x", "--role", "service"]).await;
    assert_eq!(service.code, 2, "{service:?}");
    assert!(service.stderr.contains("viewer, operator, admin, agent"), "{service:?}");
}
