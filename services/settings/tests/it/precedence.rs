//! Which source counts, and that rules hold whatever a value's source.

use std::process::Command;

use crate::program::{Place, program};

const SECRET: [&str; 2] = ["--jwt-secret", "s3cret"];

/// Runs one test of this file again, in a process with this variable.
fn with_variable(test: &str, name: &str, value: &str) -> bool {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored"]).env(name, value);
    command.output().unwrap().status.success()
}

#[test]
fn a_file_goes_before_defaults_and_flags_before_the_file() {
    let place =
        Place::with("shards = 5\nlisten = \"10.0.0.1:1\"\norigin = [\"a\", \"b\"]\nallow-plaintext = true\n");
    let config = place.load(&[&SECRET[..], &["--listen", "10.0.0.2:2"]].concat()).unwrap().config;
    assert_eq!((config.shards, config.listen.to_string().as_str()), (5, "10.0.0.2:2"));
    assert_eq!((config.origins, config.allow_plaintext), (vec!["a".to_owned(), "b".into()], true));
    let other = place.load(&[&SECRET[..], &["--origin", "c", "--shards=9"]].concat()).unwrap().config;
    assert_eq!((other.origins, other.shards), (vec!["c".to_owned()], 9));
}

#[test]
fn the_environment_goes_before_the_file_and_behind_flags() {
    assert!(with_variable("precedence::in_the_environment", "SETTINGS_TEST_LISTEN", "10.0.0.3:3"));
    assert!(!with_variable("precedence::in_the_environment", "SETTINGS_TEST_LISTEN", "10.0.0.4:4"));
}

#[test]
#[ignore = "is run by another, in a process with a variable"]
fn in_the_environment() {
    let place = Place::with("listen = \"10.0.0.1:1\"\n");
    assert_eq!(place.load(&SECRET).unwrap().config.listen.to_string(), "10.0.0.3:3");
    let shown = place.shown(&SECRET);
    assert!(shown.contains("environment SETTINGS_TEST_LISTEN"), "{shown}");
    let flagged = place.load(&[&SECRET[..], &["--listen", "10.0.0.2:2"]].concat()).unwrap();
    assert_eq!(flagged.config.listen.to_string(), "10.0.0.2:2");
}

#[test]
fn what_belongs_together_may_come_from_different_places() {
    let place = Place::with("[tls]\nkey = \"k\"\n");
    let cert = place.write("cert", "", 0o644);
    let config = place.load(&[&SECRET[..], &["--tls-cert", cert.to_str().unwrap()]].concat()).unwrap().config;
    assert_eq!((config.tls_cert.unwrap(), config.tls_key.unwrap().to_str().unwrap()), (cert, "k"));
    let alone = place.problems(&SECRET);
    assert_eq!(alone.len(), 1, "{alone:?}");
    assert!(
        alone[0].starts_with("tls-cert: the following required arguments were not provided"),
        "{alone:?}"
    );
}

#[test]
fn pairs_and_words_behind_the_dashes_can_stand_in_a_file() {
    let place = Place::with("words = [\"sh\", \"-c\", \"--x\"]\n[label]\nenv = \"prod\"\n");
    let config = place.load(&SECRET).unwrap().config;
    assert_eq!((config.words.join(" "), config.labels.join(" ")), ("sh -c --x".into(), "env=prod".into()));
    let other = place.load(&[&SECRET[..], &["--", "true"]].concat()).unwrap().config;
    assert_eq!(other.words, ["true"]);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let place = Place::with(
        "shard = 1\nshards = 10\nlisten = \"here\"\nprofile = \"prod\"\n[tls]\ncert = \"c\"\nkey = \"k\"\n",
    );
    let problems = place.problems(&[]);
    let file = place.path("x.toml").display().to_string();
    for expected in [
        format!("shard: {file}:1: there is no such key; is shards meant?"),
        format!("shards: {file}:2: expected a SHARDS, got \"10\": 10 is not in 1..=9"),
        format!("listen: {file}:3: expected a LISTEN, got \"here\": invalid socket address syntax"),
        format!("profile: {file}:4: expected one of development, production, got \"prod\""),
        "tls-cert: it is not there".into(),
    ] {
        assert!(problems.contains(&expected), "{expected}: {problems:?}");
    }
    let missing = problems.iter().find(|problem| problem.starts_with("jwt-secret: expected ")).unwrap();
    assert!(missing.contains("SETTINGS_TEST_JWT_SECRET_FILE, --jwt-secret-file"), "{missing}");
    assert_eq!(problems.len(), 6, "{problems:?}");
}

#[test]
fn a_check_shows_every_setting_with_its_source() {
    let place = Place::with("shards = 5\n");
    let shown = place.shown(&[&SECRET[..], &["--origin", "a,b"]].concat());
    let line = |name: &str| {
        let line = shown.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("shards "), format!("shards 5 file {}:1", place.path("x.toml").display()));
    assert_eq!(line("listen "), "listen 127.0.0.1:80 default");
    assert_eq!(line("origin "), "origin a,b flag --origin");
    assert_eq!(line("tls-cert "), "tls-cert - not set");
    assert_eq!(line("jwt-secret "), "jwt-secret (hidden) flag --jwt-secret");
    assert!(shown.ends_with("tested: the configuration is good\n") && !shown.contains("s3cret"), "{shown}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let place = Place::with("");
    std::fs::remove_file(place.path("x.toml")).unwrap();
    let problems = place.problems(&SECRET);
    assert!(
        problems[0].starts_with("config: cannot read ") && problems[0].contains("x.toml"),
        "{problems:?}"
    );
}

#[test]
fn the_reference_sets_nothing_and_names_every_key_with_its_default() {
    let reference = program().reference();
    assert!(reference.lines().all(|line| line.is_empty() || line.starts_with('#')), "{reference}");
    for line in [
        "#listen = \"127.0.0.1:80\"",
        "#shards = 3",
        "#allow-plaintext = false",
        "#profile = \"development\"",
    ] {
        assert!(reference.lines().any(|found| found == line), "{line}: {reference}");
    }
    let set: String =
        reference.lines().filter_map(|line| line.strip_prefix('#')).fold(String::new(), |all, line| {
            if line.starts_with(' ') || line.is_empty() { all } else { all + line + "\n" }
        });
    let set = set.replace("jwt-secret-file = ", "#");
    let problems = Place::with(&set).problems(&[]);
    // Placeholders are no values; every key is known, and of the right type.
    assert!(
        !problems.iter().any(|problem| problem.contains("no such key") || problem.contains(" got a")),
        "{problems:?}"
    );
}
