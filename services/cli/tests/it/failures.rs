//! What goes wrong before, around and behind a call, and how it is told.

use std::time::{Duration, Instant};

use crate::{
    house::{ADMIN_TOKEN, House, VIEWER_TOKEN},
    program::{end_of, program, program_for, run},
};

#[tokio::test]
async fn a_server_that_is_down_is_named_with_what_to_do() {
    // Nobody listens there, nor can while it is bound.
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    let mut command = program(&["agents", "list"]);
    command.env("SIGNALBOX_GRPC_URL", &url).env("SIGNALBOX_TOKEN", ADMIN_TOKEN);
    let ended = end_of(command).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (5, ""), "{ended:?}");
    assert!(ended.stderr.contains(&format!("cannot connect to {url}")), "{ended:?}");
    assert!(ended.stderr.contains("refused") && ended.stderr.contains("cargo xtask dev"), "{ended:?}");
    assert!(!ended.stderr.contains(ADMIN_TOKEN), "{ended:?}");
}

#[tokio::test]
async fn no_token_is_told_with_where_to_get_one() {
    let house = House::open().await;
    for token in [None, Some(""), Some("  ")] {
        let mut command = program(&["agents", "list", "--grpc-url", &house.url()]);
        token.map(|token| command.env("SIGNALBOX_TOKEN", token));
        let ended = end_of(command).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (4, ""), "{ended:?}");
        assert!(ended.stderr.contains("no token") && ended.stderr.contains("SIGNALBOX_TOKEN"), "{ended:?}");
        assert!(ended.stderr.contains("source target/dev/env"), "{ended:?}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_accepted_and_a_role_that_may_not_are_told_apart() {
    let house = House::open().await;
    let mut command = program_for(&house, &["agents", "list"]);
    command.env("SIGNALBOX_TOKEN", "forged");
    let forged = end_of(command).await;
    assert_eq!(forged.code, 4, "{forged:?}");
    assert!(forged.stderr.contains("the signature does not match (UNAUTHENTICATED)"), "{forged:?}");
    assert!(!forged.stderr.contains("forged"), "{forged:?}");

    let mut command = program_for(&house, &["agents", "create", "web-1"]);
    command.env("SIGNALBOX_TOKEN", VIEWER_TOKEN);
    let viewer = end_of(command).await;
    assert_eq!(viewer.code, 4, "{viewer:?}");
    assert!(
        viewer.stderr.contains("(PERMISSION_DENIED)") && viewer.stderr.contains("signalbox whoami"),
        "{viewer:?}"
    );
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_in_time() {
    let house = House::open().await;
    house.state().is_mute = true;
    for arguments in [&["agents", "list"][..], &["events", "tail"]] {
        let begun = Instant::now();
        let ended = run(&house, &[arguments, &["--rpc-timeout", "300ms"]].concat()).await;
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert!(ended.stderr.contains("within 300ms"), "{ended:?}");
        assert_eq!(ended.code, 7, "{ended:?}");
    }
}

#[tokio::test]
async fn a_malformed_address_is_told_before_anything_is_tried() {
    for url in ["localhost:50051", "ftp://localhost:50051", "https://", "nonsense"] {
        let mut command = program(&["agents", "list", "--grpc-url", url]);
        command.env("SIGNALBOX_TOKEN", ADMIN_TOKEN);
        let ended = end_of(command).await;
        assert_eq!(ended.code, 2, "{url}: {ended:?}");
        assert!(ended.stderr.contains("--grpc-url: expected http://host:port"), "{url}: {ended:?}");
    }
}

#[tokio::test]
async fn something_else_than_a_state_service_is_no_success() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    let mut command = program(&["agents", "list", "--grpc-url", &url]);
    command.env("SIGNALBOX_TOKEN", ADMIN_TOKEN);
    let ended = end_of(command).await;
    assert!(matches!(ended.code, 1 | 5), "{ended:?}");
    assert!(ended.stdout.is_empty() && ended.stderr.starts_with("error: cannot "), "{ended:?}");
    serving.abort();
}

#[tokio::test]
async fn what_is_no_command_line_ends_with_2_and_help_with_0() {
    for arguments in
        [&["agents"][..], &["nonsense"], &["agents", "list", "--limit", "0"], &["events", "tail", "-t", "a*"]]
    {
        let ended = end_of(program(arguments)).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{arguments:?}: {ended:?}");
    }
    let help = end_of(program(&["--help"])).await;
    assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{help:?}");
    assert!(help.stdout.contains("Exit codes:") && help.stdout.contains("130  ended by Ctrl-C"), "{help:?}");
}

#[tokio::test]
async fn completions_are_made_for_each_shell_without_a_server() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = end_of(program(&["completions", shell])).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.stdout.contains("signalbox") && ended.stdout.contains("update-config"), "{shell}");
    }
}

#[tokio::test]
async fn colours_are_written_where_they_are_forced_and_never_where_they_are_unwanted() {
    let house = House::open().await;
    house.change(|state| state.add_agent("web-1"));
    let coloured = |arguments: &'static [&'static str],
                    variables: &'static [(&'static str, &'static str)]| {
        let mut command = program_for(&house, arguments);
        command.envs(variables.iter().copied());
        async move { end_of(command).await.stdout.contains('\u{1b}') }
    };
    assert!(coloured(&["agents", "list"], &[("CLICOLOR_FORCE", "1")]).await);
    assert!(!coloured(&["agents", "list"], &[]).await);
    assert!(!coloured(&["agents", "list", "--no-color"], &[("CLICOLOR_FORCE", "1")]).await);
    assert!(!coloured(&["agents", "list"], &[("NO_COLOR", "1")]).await);
    assert!(!coloured(&["agents", "list", "-o", "json"], &[("CLICOLOR_FORCE", "1")]).await);
}
