//! The programs as an administrator configures them: files, checks, and what production refuses.

mod place;

use place::{GOOD, Place};

const WEAK: &str = "a-secret-of-at-least-thirty-two-bytes";

#[tokio::test]
async fn the_installation_of_the_documentation_is_good() {
    let place = Place::new();
    let texts = place.documented();
    assert_eq!(texts, ["state.toml", "edge.toml", "agent.toml"]);
    for call in [&["signalbox-state"][..], &["signalbox-edge"], &["signalbox-agent", "run"]] {
        let file = place.file(&format!("{}.toml", call[0].trim_start_matches("signalbox-")));
        let ended = place.run(call, &["--check-config", "--config", &file], &[]).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(
            ended.stdout.ends_with("the configuration is good\n") && ended.stderr.is_empty(),
            "{ended:?}"
        );
        assert!(ended.stdout.contains("(hidden, in ") && !ended.stdout.contains(GOOD), "{ended:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_its_key_is_found_before_the_start() {
    let place = Place::new();
    place.documented();
    Place::new().copy_key_to(&place.file("edge.key"));
    let config = place.file("edge.toml");
    let checked = place.run(&["signalbox-edge"], &["--check-config", "--config", &config], &[]).await;
    assert_eq!(checked.code, 1, "{checked:?}");
    assert!(
        checked.stderr.starts_with("error: tls-cert: the certificate in ")
            && checked.stderr.contains("cannot be used"),
        "{checked:?}"
    );
    let started = place.run(&["signalbox-edge"], &["--config", &config], &[]).await;
    assert_eq!((started.code, started.stdout.as_str()), (2, ""), "{started:?}");
    assert_eq!(started.stderr, checked.stderr);
}

#[tokio::test]
async fn flags_go_before_the_environment_and_that_before_the_file() {
    let place = Place::new();
    place.write("x.toml", "listen = \"127.0.0.1:1\"\nlost-after-s = 7\nadopt-after-s = 8\n", 0o600);
    let flags = ["--check-config", "--config", &place.file("x.toml"), "--listen", "127.0.0.1:3"];
    let variables = [
        ("SIGNALBOX_STATE_LISTEN", "127.0.0.1:2"),
        ("SIGNALBOX_LOST_AFTER_S", "9"),
        ("SIGNALBOX_DATABASE_URL", "postgres:///x"),
        ("SIGNALBOX_JWT_SECRET", GOOD),
        ("SIGNALBOX_FLEET_AGENT_CREDENTIALS", "refuse"),
    ];
    let ended = place.run(&["signalbox-state"], &flags, &variables).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let line = |name: &str| ended.setting(name);
    assert_eq!(line("listen"), "127.0.0.1:3 flag --listen");
    assert_eq!(line("lost-after-s"), "9 environment SIGNALBOX_LOST_AFTER_S");
    assert_eq!(line("adopt-after-s"), format!("8 file {}:3", place.file("x.toml")));
    assert_eq!(line("drain-window-ms"), "2000 default");
    assert_eq!(line("jwt-secret"), "(hidden) environment SIGNALBOX_JWT_SECRET");
}

#[tokio::test]
async fn production_refuses_all_that_is_unsafe_at_once_and_development_does_not() {
    let place = Place::new();
    place.write(
        "state.toml",
        &format!("jwt-secret = \"{WEAK}\"\ndatabase-url = \"postgres://a:change-me@db/x\"\n"),
        0o644,
    );
    let config = place.file("state.toml");
    let refused = place.run(&["signalbox-state"], &["--config", &config, "--listen", "0.0.0.0:1"], &[]).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    for problem in [
        "error: jwt-secret: refused in production: the secret has a word of an example in it",
        "error: database-url: refused in production: its password is easy to guess",
        "mode 644",
        "error: fleet-agent-credentials: refused in production: whoever holds the credential of one agent",
        "set fleet-agent-credentials to refuse, and enrol the agents",
        "error: listen: refused: 0.0.0.0:1 can be reached from other machines",
    ] {
        assert!(refused.stderr.contains(problem), "{problem}: {refused:?}");
    }
    assert!(!refused.stderr.contains(WEAK) && !refused.stderr.contains("change-me"), "{refused:?}");
    let flags = ["--config", &config, "--profile", "development", "--check-config"];
    let wide = place.run(&["signalbox-state"], &flags, &[]).await;
    assert_eq!(wide.code, 0, "{wide:?}");
    assert!(wide.stdout.contains("warning: ") && wide.stdout.contains("mode 644"), "{wide:?}");

    let strangers = ["--logs-anonymous", "true", "--allowed-origin", "*"];
    let variables = [("SIGNALBOX_JWT_SECRET", WEAK)];
    let refused = place.run(&["signalbox-edge"], &strangers, &variables).await;
    assert_eq!((refused.code, refused.stderr.lines().count()), (2, 3), "{refused:?}");
    for key in ["jwt-secret", "logs-anonymous", "allowed-origin"] {
        assert!(
            refused.stderr.contains(&format!("error: {key}: refused in production: ")),
            "{key}: {refused:?}"
        );
    }
    let flags = [&strangers[..], &["--profile", "development", "--check-config"]].concat();
    assert_eq!(place.run(&["signalbox-edge"], &flags, &variables).await.code, 0);
}

#[tokio::test]
async fn a_misspelt_key_is_named_with_its_line_and_the_nearest_one() {
    let place = Place::new();
    place.write("agent.toml", "id = \"web-1\"\nprogramm = [\"true\"]\nmetrics-interval = 5\n", 0o600);
    let variables = [("SIGNALBOX_AGENT_CONFIG", place.file("agent.toml")), ("SIGNALBOX_TOKEN", "t".into())];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let ended = place.run(&["signalbox-agent", "run"], &[], &variables).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    let file = place.file("agent.toml");
    for problem in [
        format!("programm: {file}:2: there is no such key; is program meant?"),
        format!("metrics-interval: {file}:3: expected a text, got the whole number 5"),
        "program: expected the PROGRAM behind --, or the key program, got nothing".into(),
    ] {
        assert!(ended.stderr.contains(&problem), "{problem}: {ended:?}");
    }
}

#[tokio::test]
async fn the_documented_defaults_are_the_defaults() {
    let place = Place::new();
    let needed = [
        ("SIGNALBOX_DATABASE_URL", "postgres:///x"),
        ("SIGNALBOX_JWT_SECRET", GOOD),
        ("SIGNALBOX_TOKEN", "t"),
        // In production its default is not enough.
        ("SIGNALBOX_FLEET_AGENT_CREDENTIALS", "refuse"),
    ];
    for (name, call, flags) in [
        ("state", &["signalbox-state"][..], &[][..]),
        ("edge", &["signalbox-edge"], &[]),
        ("agent", &["signalbox-agent", "run"], &["--id", "web-1", "--", "true"]),
    ] {
        let defaults = place::documented_defaults(name);
        assert!(defaults.lines().count() > 8, "{defaults}");
        place.write("defaults.toml", &defaults, 0o600);
        let config = place.file("defaults.toml");
        let bare = place.run(call, &[&["--check-config"], flags].concat(), &needed).await;
        let set = place.run(call, &[&["--check-config", "--config", &config], flags].concat(), &needed).await;
        assert_eq!((bare.code, set.code), (0, 0), "{bare:?} {set:?}");
        for line in defaults.lines() {
            let key = line.split(" = ").next().unwrap();
            let (before, after) = (bare.setting(key), set.setting(key));
            if needed.iter().any(|(name, _)| before.ends_with(&format!(" environment {name}"))) {
                continue;
            }
            let value = before.strip_suffix("default").unwrap_or_else(|| panic!("{key}: {before}"));
            assert!(after.starts_with(&format!("{value}file ")), "{key}: {before}, {after}");
        }
    }
}
