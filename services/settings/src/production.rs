//! What production refuses: one list of rules. A rule looks at what a server is about to do, finds every breach of it,
//! and says what to do instead.

mod secret;

use std::net::SocketAddr;

use secrecy::{ExposeSecret as _, SecretString};

use crate::{Exposed, Problem, Profile};

pub use secret::DEVELOPMENT_PREFIX;

/// What a server is about to do, as far as a rule asks.
#[derive(Debug, Clone)]
pub struct Posture {
    /// How strict it is to be.
    pub profile: Profile,
    /// The secret that signs tokens.
    pub signing_secret: Option<SecretString>,
    /// Where its database is.
    pub database_url: Option<SecretString>,
    /// Settings that let somebody in without a credential, by their names.
    pub anonymous: Vec<&'static str>,
    /// The origins of pages that may connect.
    pub origins: Vec<String>,
    /// Addresses that are served in plaintext without leave, each with the setting that gives it.
    pub plaintext: Vec<(&'static str, SocketAddr)>,
    /// Files with secrets that others can read.
    pub exposed: Vec<Exposed>,
    /// The setting that lets one credential be good for every agent of a tenant, where it does.
    pub fleet_credentials: Option<&'static str>,
}

impl Posture {
    /// One in which nothing is amiss.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        Self {
            profile,
            signing_secret: None,
            database_url: None,
            anonymous: Vec::new(),
            origins: Vec::new(),
            plaintext: Vec::new(),
            exposed: Vec::new(),
            fleet_credentials: None,
        }
    }
}

/// Something that a server does not do in production.
pub struct Rule {
    /// What it refuses.
    pub refuses: &'static str,
    /// What to do instead.
    pub instead: &'static str,
    /// Whether it holds in development too.
    pub is_for_all: bool,
    /// Every breach: the setting, and what is wrong with it.
    breaches: fn(&Posture) -> Vec<(String, String)>,
}

/// Every rule. Another one is another line here.
pub const RULES: [Rule; 7] = [
    Rule {
        refuses: "a signing secret that was made for development, has a word of an example in it, or follows a pattern",
        instead: "make one with `openssl rand -hex 32`",
        is_for_all: false,
        breaches: weak_secret,
    },
    Rule {
        refuses: "a password of the database that is a word from an example, or the name of its user",
        instead: "give the user a random password, or none where Postgres knows the caller otherwise",
        is_for_all: false,
        breaches: weak_password,
    },
    Rule {
        refuses: "anonymous access to the log stream",
        instead: "remove the setting: readers then present a token",
        is_for_all: false,
        breaches: |posture| posture.anonymous.iter().map(|key| breach(key, "it lets strangers in")).collect(),
    },
    Rule {
        refuses: "pages of any origin",
        instead: "name the origins of your own pages, such as https://console.example.com",
        is_for_all: false,
        breaches: any_origin,
    },
    Rule {
        refuses: "secrets in files that others can read or change: everybody for a file with one secret or a private \
                  key, also its group for a file of settings with a secret in it",
        instead: "take the permission away; better, give the secret a file of its own",
        is_for_all: false,
        breaches: |posture| {
            posture.exposed.iter().map(|exposed| breach(exposed.key(), &exposed.to_string())).collect()
        },
    },
    Rule {
        refuses: "credentials that are good for every agent of a tenant, as they are by default",
        instead: "set fleet-agent-credentials to refuse, and enrol the agents, each for a key of its own: \
                  `signalbox enrolment create` makes a token that they are started with, as enrolment-token-file",
        is_for_all: false,
        breaches: |posture| {
            let told = "whoever holds the credential of one agent can pose as any other of the tenant";
            posture.fleet_credentials.iter().map(|key| breach(key, told)).collect()
        },
    },
    Rule {
        refuses: "plaintext to other machines",
        instead: "give tls-cert and tls-key, or allow-plaintext where something else encrypts",
        is_for_all: true,
        breaches: |posture| {
            let told = |address: &SocketAddr| format!("{address} can be reached from other machines");
            posture.plaintext.iter().map(|(key, address)| breach(key, &told(address))).collect()
        },
    },
];

/// Everything that the profile refuses of what a server is about to do.
#[must_use]
pub fn refusals(posture: &Posture) -> Vec<Problem> {
    let holds = |rule: &&Rule| rule.is_for_all || posture.profile == Profile::Production;
    let told = |rule: &Rule| {
        let refused = if rule.is_for_all { "refused" } else { "refused in production" };
        let instead = rule.instead;
        let problem =
            |(key, what): (String, String)| Problem::new(key, format!("{refused}: {what}; {instead}"));
        (rule.breaches)(posture).into_iter().map(problem).collect::<Vec<_>>()
    };
    RULES.iter().filter(holds).flat_map(told).collect()
}

fn breach(key: &str, what: &str) -> (String, String) {
    (key.into(), what.into())
}

fn weak_secret(posture: &Posture) -> Vec<(String, String)> {
    let weakness =
        posture.signing_secret.as_ref().and_then(|secret| secret::weakness(secret.expose_secret()));
    weakness.map(|weakness| breach("jwt-secret", &format!("the secret {weakness}"))).into_iter().collect()
}

fn weak_password(posture: &Posture) -> Vec<(String, String)> {
    let url = posture.database_url.as_ref().and_then(|url| url::Url::parse(url.expose_secret()).ok());
    let is_weak = url.is_some_and(|url| {
        url.password().is_some_and(|password| password == url.username() || secret::is_placeholder(password))
    });
    is_weak.then(|| breach("database-url", "its password is easy to guess")).into_iter().collect()
}

fn any_origin(posture: &Posture) -> Vec<(String, String)> {
    let is_any = posture.origins.iter().any(|origin| origin.trim() == "*");
    is_any.then(|| breach("allowed-origin", "* lets pages of any origin connect")).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Random, as `openssl rand -hex 32` writes it.
    const GOOD: &str = "8f1b8d0c52c1a0c6f0e67a3d94b25e7719c4fa63d8027b5ee1a96cf034d7b258";

    fn sound() -> Posture {
        Posture {
            signing_secret: Some(GOOD.into()),
            database_url: Some(format!("postgres://signalbox:{GOOD}@db/signalbox").into()),
            origins: vec!["https://console.example.com".into()],
            ..Posture::of(Profile::Production)
        }
    }

    fn told(posture: &Posture) -> Vec<String> {
        refusals(posture).iter().map(ToString::to_string).collect()
    }

    /// The one problem of a posture, which is none in development.
    fn only(change: impl Fn(&mut Posture)) -> String {
        let mut posture = sound();
        change(&mut posture);
        let strict = told(&posture);
        posture.profile = Profile::Development;
        assert_eq!(told(&posture), Vec::<String>::new());
        assert_eq!(strict.len(), 1, "{strict:?}");
        strict.concat()
    }

    #[test]
    fn what_is_sound_is_not_refused() {
        assert_eq!(told(&sound()), Vec::<String>::new());
        let local = Posture { database_url: Some("postgres://signalbox@/signalbox".into()), ..sound() };
        assert_eq!(told(&local), Vec::<String>::new());
    }

    #[test]
    fn a_weak_signing_secret_is_refused_without_being_shown() {
        let told =
            only(|posture| posture.signing_secret = Some("a-secret-of-at-least-thirty-two-bytes".into()));
        assert!(
            told.starts_with("jwt-secret: refused in production: ") && told.contains("openssl rand"),
            "{told}"
        );
        assert!(!told.contains("thirty"), "{told}");
    }

    #[test]
    fn a_password_from_an_example_is_refused_without_being_shown() {
        for password in ["signalbox", "change-me", "postgres", "PassWord1"] {
            let url = format!("postgres://signalbox:{password}@db/x");
            let told = only(|posture| posture.database_url = Some(url.clone().into()));
            assert!(told.starts_with("database-url: ") && !told.contains(password), "{told}");
        }
    }

    #[test]
    fn strangers_and_pages_of_any_origin_are_refused() {
        let told = only(|posture| posture.anonymous = vec!["logs-anonymous"]);
        assert!(told.starts_with("logs-anonymous: refused in production: it lets strangers in"), "{told}");
        let told = only(|posture| posture.origins.push("*".into()));
        assert!(told.starts_with("allowed-origin: refused in production: "), "{told}");
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
        let told =
            only(|posture| posture.exposed = Exposed::secret("tls-key", file.path()).into_iter().collect());
        assert!(told.starts_with("tls-key: refused in production: ") && told.contains("mode 644"), "{told}");
    }

    #[test]
    fn credentials_for_a_whole_fleet_are_refused_and_it_is_said_how_to_do_without() {
        let told = only(|posture| posture.fleet_credentials = Some("fleet-agent-credentials"));
        assert!(told.starts_with("fleet-agent-credentials: refused in production: "), "{told}");
        for remedy in ["set fleet-agent-credentials to refuse", "signalbox enrolment create"] {
            assert!(told.contains(remedy), "{told}");
        }
    }

    #[test]
    fn plaintext_to_other_machines_is_refused_in_every_profile() {
        let plaintext = vec![("listen", SocketAddr::from(([0, 0, 0, 0], 80)))];
        for profile in [Profile::Production, Profile::Development] {
            let posture = Posture { profile, plaintext: plaintext.clone(), ..sound() };
            let told = told(&posture).concat();
            assert!(told.starts_with("listen: refused: 0.0.0.0:80 can be reached"), "{told}");
            assert!(told.contains("allow-plaintext"), "{told}");
        }
    }

    #[test]
    fn everything_is_told_at_once() {
        let posture = Posture {
            signing_secret: Some("change-me".into()),
            anonymous: vec!["logs-anonymous"],
            origins: vec!["*".into()],
            ..sound()
        };
        assert_eq!(told(&posture).len(), 3);
    }

    #[test]
    fn every_rule_is_documented() {
        let text = include_str!("../../../docs/operations.md");
        for Rule { refuses, instead, .. } in &RULES {
            let row = format!("| {refuses} | {instead} |");
            assert!(text.contains(&row), "docs/operations.md lacks the row\n{row}");
        }
    }
}
