//! Profiles: kept where nobody else can read them, and their tokens shown to nobody but their own servers.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::PathBuf,
    process::Stdio,
};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    house::{ADMIN_TOKEN, House, VIEWER_TOKEN},
    program::{Ended, end_of, fed, program},
};

/// A user with a home of their own.
struct User(TempDir);

impl User {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("signalbox/profiles.toml")
    }

    fn program(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = program(arguments);
        command.env("XDG_CONFIG_HOME", self.0.path());
        command
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        end_of(self.program(arguments)).await
    }

    async fn login(&self, arguments: &[&str], token: &str) -> Ended {
        let mut command = self.program(&[&["login", "--token-stdin"], arguments].concat());
        fed(command.stdin(Stdio::piped()), token).await
    }

    /// Changes the file as somebody with an editor could.
    fn edit(&self, change: impl Fn(String) -> String) {
        fs::write(self.file(), change(fs::read_to_string(self.file()).unwrap())).unwrap();
    }
}

#[tokio::test]
async fn a_profile_is_kept_for_its_owner_alone_and_used_from_then_on() {
    let (house, user) = (House::open().await, User::new());
    let login = user.login(&["--grpc-url", &house.url()], &format!("{ADMIN_TOKEN}\n")).await;
    assert_eq!(login.code, 0, "{login:?}");
    assert_eq!(login.stdout, "logged in as ann (admin) of dev, profile default\n", "{login:?}");
    let mode = |path: PathBuf| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(user.file()), mode(user.0.path().join("signalbox"))), (0o600, 0o700));
    let who = user.run(&["whoami", "-o", "json"]).await.json();
    assert_eq!((&who["subject"], &who["profile"]), (&json!("ann"), &json!("default")));
    let listed = user.run(&["profiles"]).await;
    assert!(listed.stdout.contains("*  default") && listed.stdout.contains(&house.url()), "{listed:?}");
    for said in [login, listed, user.run(&["profiles", "-o", "json"]).await] {
        assert!(!said.stdout.contains(ADMIN_TOKEN) && !said.stderr.contains(ADMIN_TOKEN), "{said:?}");
    }
}

#[tokio::test]
async fn several_profiles_are_chosen_by_name_and_forgotten() {
    let (house, user) = (House::open().await, User::new());
    for (name, token) in [("work", ADMIN_TOKEN), ("look", VIEWER_TOKEN)] {
        let login = user.login(&["--profile", name, "--grpc-url", &house.url()], token).await;
        assert_eq!(login.code, 0, "{login:?}");
    }
    let role = async |arguments: &[&str]| {
        user.run(&[&["whoami", "-o", "json"], arguments].concat()).await.json()["role"].clone()
    };
    assert_eq!((role(&[]).await, role(&["--profile", "work"]).await), (json!("viewer"), json!("admin")));
    assert_eq!(user.run(&["profiles", "use", "work"]).await.code, 0);
    assert_eq!(role(&[]).await, json!("admin"));
    let mut named = user.program(&["whoami", "-o", "json"]);
    named.env("SIGNALBOX_CLI_PROFILE", "look");
    assert_eq!(end_of(named).await.json()["role"], "viewer");
    let out = user.run(&["logout"]).await;
    assert!(out.code == 0 && out.stdout.starts_with("forgot the profile work"), "{out:?}");
    let unknown = user.run(&["whoami", "--profile", "work"]).await;
    assert_eq!(unknown.code, 3, "{unknown:?}");
    assert!(
        unknown.stderr.contains("no profile is called work") && unknown.stderr.contains("there are: look"),
        "{unknown:?}"
    );
    assert_eq!(user.run(&["whoami"]).await.code, 4, "none counts any more");
}

#[tokio::test]
async fn flags_and_the_environment_go_before_the_profile() {
    let (house, user) = (House::open().await, User::new());
    user.login(&["--grpc-url", &house.url()], ADMIN_TOKEN).await;
    let mut with_token = user.program(&["whoami", "-o", "json"]);
    with_token.env("SIGNALBOX_TOKEN", VIEWER_TOKEN);
    let who = end_of(with_token).await.json();
    assert_eq!((&who["role"], &who["profile"]), (&json!("viewer"), &json!(null)));
}

#[tokio::test]
async fn a_token_is_shown_to_the_server_of_its_profile_only() {
    let (house, other, user) = (House::open().await, House::open().await, User::new());
    user.login(&["--grpc-url", &house.url()], ADMIN_TOKEN).await;
    let refused = user.run(&["whoami", "--grpc-url", &other.url()]).await;
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.stderr.contains("not shown to") && !refused.stderr.contains(ADMIN_TOKEN), "{refused:?}");
    assert!(other.state().traces.is_empty(), "nothing was asked there");
}

#[tokio::test]
async fn what_is_not_accepted_is_not_kept() {
    let (house, user) = (House::open().await, User::new());
    for (token, code) in [("forged", 4), ("", 2), ("two words", 2)] {
        let refused = user.login(&["--grpc-url", &house.url()], token).await;
        assert_eq!(refused.code, code, "{refused:?}");
        assert!(token.is_empty() || !refused.stderr.contains(token), "{refused:?}");
    }
    let named = user.login(&["--profile", "a/b", "--grpc-url", &house.url()], ADMIN_TOKEN).await;
    assert_eq!(named.code, 2, "{named:?}");
    let neither = user.run(&["login", "--grpc-url", &house.url()]).await;
    assert!(neither.code == 2 && neither.stderr.contains("--token-stdin"), "{neither:?}");
    assert!(!user.file().exists());
}

#[tokio::test]
async fn profiles_that_others_may_read_are_refused() {
    let (house, user) = (House::open().await, User::new());
    user.login(&["--grpc-url", &house.url()], ADMIN_TOKEN).await;
    fs::set_permissions(user.file(), Permissions::from_mode(0o640)).unwrap();
    let refused = user.run(&["whoami"]).await;
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.stderr.contains("mode 640") && refused.stderr.contains("chmod 600"), "{refused:?}");
    let given = ["whoami", "--grpc-url", &house.url()];
    let mut without = user.program(&given);
    without.env("SIGNALBOX_TOKEN", ADMIN_TOKEN);
    assert_eq!(end_of(without).await.code, 0, "what needs no profile is not kept from its work");
}

#[tokio::test]
async fn a_token_that_is_over_is_told_before_the_server_is_asked() {
    let (house, user) = (House::open().await, User::new());
    user.login(&["--grpc-url", &house.url()], ADMIN_TOKEN).await;
    let asked = house.state().traces.len();
    user.edit(|text| text.replace("2030-", "2020-"));
    let over = user.run(&["whoami"]).await;
    assert_eq!(over.code, 4, "{over:?}");
    assert!(over.stderr.contains("the token of the profile default ended at 2020-"), "{over:?}");
    assert!(over.stderr.contains("signalbox login --profile default"), "{over:?}");
    assert_eq!(house.state().traces.len(), asked, "nothing was asked");
}

#[tokio::test]
async fn a_damaged_file_is_named_without_being_shown() {
    let (house, user) = (House::open().await, User::new());
    user.login(&["--grpc-url", &house.url()], ADMIN_TOKEN).await;
    user.edit(|text| text.replace("token = ", "tokne = "));
    let damaged = user.run(&["whoami"]).await;
    assert_eq!(damaged.code, 2, "{damaged:?}");
    assert!(
        damaged.stderr.contains("profiles.toml:") && !damaged.stderr.contains(ADMIN_TOKEN),
        "{damaged:?}"
    );
}
