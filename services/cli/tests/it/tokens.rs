//! Tokens: issued by the service, signed here, presented from the environment or a file.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use signalbox_identity::{Keys, Role, TokenConfig};
use signalbox_telemetry::{is_traceparent, now};

use crate::{
    house::{ADMIN_TOKEN, House, VIEWER_TOKEN},
    program::{end_of, program, program_for, run},
};

const SECRET: &str = "a-secret-of-at-least-thirty-two-bytes";
const SIGN: [&str; 9] = ["token", "--subject", "ann", "--role", "admin", "--tenant", "dev", "--ttl", "10m"];

#[tokio::test]
async fn the_service_issues_a_token_that_stands_alone_on_standard_output() {
    let house = House::open().await;
    let ended = run(&house, &["token", "--subject", "bob", "--role", "operator", "--ttl", "2h"]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "bob.operator.7200\n"), "{ended:?}");
    let in_json = run(&house, &["token", "--subject", "bob", "--role", "viewer", "-o", "json"]).await;
    assert_eq!(in_json.json(), json!({ "token": "bob.viewer.3600", "expires_at": "2030-03-17T17:46:40Z" }));
}

#[tokio::test]
async fn the_first_token_is_signed_here_without_a_server_or_a_token() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let mut from_env = program(&SIGN);
    from_env.env("SIGNALBOX_JWT_SECRET", SECRET);
    let mut said_so = program(&[&SIGN[..], &["--secret-from-env"]].concat());
    said_so.env("SIGNALBOX_JWT_SECRET", SECRET);
    let from_file = program(&[&SIGN[..], &["--secret-file", file.to_str().unwrap()]].concat());
    for command in [from_env, said_so, from_file] {
        let ended = end_of(command).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let keys = Keys::new(&TokenConfig::secret(SECRET)).unwrap();
        let principal = keys.verify(ended.stdout.trim_end(), now()).unwrap();
        assert_eq!((principal.subject.as_str(), principal.tenant_id.as_str()), ("ann", "dev"));
        assert_eq!(principal.role, Role::Admin);
        let holds = principal.expires_at.unwrap() - now();
        assert!(holds > time::Duration::minutes(8) && holds <= time::Duration::minutes(10), "{holds}");
        assert!(!ended.stderr.contains(SECRET));
    }
}

#[tokio::test]
async fn a_token_that_makes_no_sense_is_not_signed() {
    let none = end_of(program(&SIGN)).await;
    assert_eq!((none.code, none.stdout.as_str()), (2, ""), "{none:?}");
    assert!(none.stderr.contains("SIGNALBOX_JWT_SECRET: expected the secret"), "{none:?}");
    let mut weak = program(&SIGN);
    weak.env("SIGNALBOX_JWT_SECRET", "hush");
    let weak = end_of(weak).await;
    assert_eq!(weak.code, 2, "{weak:?}");
    assert!(weak.stderr.contains("at least 32") && !weak.stderr.contains("hush"), "{weak:?}");
    let mut everywhere = program(&["token", "--subject", "ann", "--role", "operator", "--tenant", "*"]);
    everywhere.env("SIGNALBOX_JWT_SECRET", SECRET);
    let everywhere = end_of(everywhere).await;
    assert_eq!(everywhere.code, 2, "{everywhere:?}");
    assert!(everywhere.stderr.contains("tenant_id"), "{everywhere:?}");
    let wrong = end_of(program(&["token", "--subject", "ann", "--role", "king"])).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.stderr.contains("viewer, operator, admin, agent, service"), "{wrong:?}");
}

#[tokio::test]
async fn whoami_says_whose_token_it_is() {
    let house = House::open().await;
    let ended = run(&house, &["whoami", "-o", "json"]).await;
    assert_eq!(
        ended.json(),
        json!({ "subject": "ann", "tenant_id": "dev", "role": "admin", "expires_at": "2030-03-17T17:46:40Z" })
    );
    let table = run(&house, &["whoami"]).await;
    assert!(
        table.stdout.contains("subject  ann\n") && table.stdout.contains("role     admin\n"),
        "{table:?}"
    );
}

#[tokio::test]
async fn a_token_file_goes_before_the_environment() {
    let house = House::open().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, format!("{VIEWER_TOKEN}\n")).unwrap();
    for (mode, is_exposed) in [(0o600, false), (0o640, false), (0o644, true)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let ended = run(&house, &["whoami", "-o", "json", "--token-file", file.to_str().unwrap()]).await;
        assert_eq!(ended.json()["role"], "viewer", "{ended:?}");
        assert_eq!(ended.stderr.contains("chmod 600"), is_exposed, "{ended:?}");
        assert!(!ended.stderr.contains(VIEWER_TOKEN), "{ended:?}");
    }
    let missing = run(&house, &["whoami", "--token-file", "/nonexistent/token"]).await;
    assert_eq!(missing.code, 2, "{missing:?}");
    assert!(missing.stderr.contains("/nonexistent/token"), "{missing:?}");
}

#[tokio::test]
async fn the_calls_of_a_run_belong_to_one_trace_that_can_be_given() {
    let house = House::open().await;
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut command = program_for(&house, &["whoami"]);
    command.env("TRACEPARENT", given);
    assert_eq!(end_of(command).await.code, 0);
    let mut command = program_for(&house, &["whoami"]);
    command.env("TRACEPARENT", "nonsense").env("SIGNALBOX_TOKEN", format!(" {ADMIN_TOKEN}\n"));
    assert_eq!(end_of(command).await.code, 0);
    let state = house.state();
    assert_eq!(state.traces[0], given);
    assert!(is_traceparent(&state.traces[1]) && state.traces[1] != given);
}
