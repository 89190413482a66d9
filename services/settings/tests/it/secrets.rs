//! Secrets in files of their own, and files that others can read.

use secrecy::ExposeSecret as _;

use crate::program::Place;

/// Random, as `openssl rand -hex 32` writes it.
const GOOD: &str = "8f1b8d0c52c1a0c6f0e67a3d94b25e7719c4fa63d8027b5ee1a96cf034d7b258";
const PRODUCTION: [&str; 2] = ["--profile", "production"];

#[test]
fn a_secret_may_be_in_a_file_which_a_flag_or_the_settings_name() {
    let place = Place::with("");
    let file = place.write("secret", &format!("{GOOD}\n"), 0o600);
    let named = place.load(&["--jwt-secret-file", file.to_str().unwrap()]).unwrap().config;
    assert_eq!(named.secret.expose_secret(), GOOD);
    place.write("x.toml", &format!("[jwt]\nsecret-file = {:?}\n", file.to_str().unwrap()), 0o644);
    assert_eq!(place.load(&PRODUCTION).unwrap().config.secret.expose_secret(), GOOD);
    let shown = place.shown(&[]);
    assert!(shown.contains(&format!("(hidden, in {})", file.display())) && !shown.contains(GOOD), "{shown}");
    let flagged = place.load(&["--jwt-secret", "another"]).unwrap().config;
    assert_eq!(flagged.secret.expose_secret(), "another", "a flag goes before the file of settings");
}

#[test]
fn a_secret_is_given_in_one_way_only() {
    let place = Place::with("");
    let file = place.write("secret", GOOD, 0o600);
    let problems = place.problems(&["--jwt-secret", "another", "--jwt-secret-file", file.to_str().unwrap()]);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("jwt-secret: give it or jwt-secret-file, not both"), "{problems:?}");
}

#[test]
fn a_file_without_one_secret_in_it_is_refused() {
    let place = Place::with("");
    for text in ["", "\n", "two\nlines\n"] {
        let file = place.write("secret", text, 0o600);
        let problems = place.problems(&["--jwt-secret-file", file.to_str().unwrap()]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].contains("expected a secret in one line") && !problems[0].contains("two"),
            "{problems:?}"
        );
    }
    let problems = place.problems(&["--jwt-secret-file", "/nonexistent/secret"]);
    assert!(
        problems.concat().starts_with("jwt-secret-file: cannot read /nonexistent/secret"),
        "{problems:?}"
    );
}

#[test]
fn production_refuses_what_others_can_read_and_development_warns() {
    let place = Place::with("");
    let file = place.write("secret", GOOD, 0o644);
    let named = ["--jwt-secret-file", file.to_str().unwrap()];
    let refused = place.problems(&[&named[..], &PRODUCTION].concat());
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].starts_with("jwt-secret-file: refused in production: "), "{refused:?}");
    assert!(place.load(&named).is_ok());
    let shown = place.shown(&named);
    assert!(shown.contains("warning: jwt-secret-file: ") && shown.contains("mode 644"), "{shown}");

    place.write("x.toml", &format!("jwt-secret = \"{GOOD}\"\n"), 0o640);
    let refused = place.problems(&PRODUCTION);
    assert!(refused.concat().contains("chmod 600") && !refused.concat().contains(GOOD), "{refused:?}");
    place.write("x.toml", &format!("jwt-secret = \"{GOOD}\"\n"), 0o600);
    assert!(place.load(&PRODUCTION).is_ok());
    place.write("x.toml", "shards = 1\n", 0o644);
    assert!(place.load(&[&PRODUCTION[..], &["--jwt-secret", GOOD]].concat()).is_ok(), "it holds no secret");
}

#[test]
fn production_refuses_a_secret_that_can_be_guessed() {
    let place = Place::with("jwt-secret = \"a-secret-of-at-least-thirty-two-bytes\"\n");
    assert!(place.load(&[]).is_ok());
    let refused = place.problems(&PRODUCTION);
    assert!(refused.concat().starts_with("jwt-secret: refused in production: "), "{refused:?}");
    assert!(!refused.concat().contains("thirty"), "{refused:?}");
}
