//! A whole house of real processes, with everything logged and every credential in every place where it may stand: no
//! piece of any of them is in what the programs write, answer or show.

mod asking;
mod given;
mod house;
mod mistakes;
mod spoken;

use signalbox_identity::{Keys, Role, TokenConfig, TokenRequest};
use signalbox_telemetry::now;

use asking::ask_everywhere;
use house::House;
use spoken::{Secrets, random};

/// How long the key of the agent that enrols itself holds: it has another one during the test.
const KEY_TTL: &str = "15s";

/// A token signed with a secret, which ends in so many seconds or has ended.
fn token(secret: &str, tenant_id: &str, role: Role, ends_in_s: i64) -> String {
    let keys = Keys::new(&TokenConfig::secret(secret)).expect("the secret is long enough");
    let (subject, ttl) = (format!("{role}-1"), time::Duration::hours(2));
    let request = TokenRequest { subject, tenant_id: tenant_id.into(), role, ttl, agent_id: None };
    let at = now() + time::Duration::seconds(ends_in_s) - ttl;
    keys.issue(&request, at).expect("the request is well formed")
}

/// The credentials of a house: good ones, and such that nobody takes.
struct Credentials {
    admin: String,
    agent: String,
    enrolment: String,
    key: String,
    key_id: String,
    all: Vec<String>,
}

impl Credentials {
    async fn make(house: &House, secrets: &mut Secrets) -> Self {
        let secret = &house.jwt_secret;
        let mut sign = |what: &str, secret: &str, tenant_id: &str, role, ends_in_s| {
            secrets.keep(what, token(secret, tenant_id, role, ends_in_s))
        };
        let admin = sign("an administrator's token", secret, "acme", Role::Admin, 3600);
        let agent = sign("an agent's token", secret, "acme", Role::Agent, 3600);
        let mut all = vec![
            admin.clone(),
            agent.clone(),
            sign("a viewer's token", secret, "acme", Role::Viewer, 3600),
            sign("an operator's token", secret, "acme", Role::Operator, 3600),
            sign("an edge's token", secret, "*", Role::Service, 3600),
            sign("a token of the platform", secret, "*", Role::Admin, 3600),
            sign("an expired token", secret, "acme", Role::Operator, -3600),
            sign("a forged token", &random(), "acme", Role::Admin, 3600),
        ];
        house.wait_ready(&admin).await;
        let mut shown = async |what: &str, command: &[&str]| {
            let shown = house.cli(&admin, command).await;
            secrets.keep(what, String::from_utf8_lossy(&shown.stdout).trim().to_owned())
        };
        let issue = ["token", "--role", "viewer", "--subject", "ben"];
        all.push(shown("a token that was issued", &issue).await);
        let create = ["keys", "create", "--name", "a program", "--role", "operator"];
        let key = shown("an API key", &create).await;
        let create = ["enrolment", "create", "--name", "x", "--uses", "9", "--again", "--key-ttl", KEY_TTL];
        let enrolment = shown("an enrolment token", &create).await;
        let key_id = key.split('_').nth(1).expect("a key has three parts").to_owned();
        all.push(secrets.keep("a key with another secret", format!("sbk_{key_id}_{}", random())));
        all.extend([key.clone(), enrolment.clone()]);
        Self { admin, agent, enrolment, key, key_id, all }
    }
}

#[tokio::test]
async fn no_piece_of_a_credential_is_in_what_a_whole_house_writes() {
    let mut secrets = Secrets::default();
    let mut house = House::start(&mut secrets).await;
    let credentials = Credentials::make(&house, &mut secrets).await;
    house.run_agent("web-1", &[("SIGNALBOX_TOKEN", &credentials.agent)]);
    house.run_enrolled_agent("web-2", &credentials.enrolment);
    let first = secrets.keep("an agent's key", house.key_after("web-2", "").await);

    let mut written = Vec::new();
    for credential in &credentials.all {
        written.extend(ask_everywhere(&house, credential).await);
        for command in
            [&["whoami"][..], &["agents", "list"], &["agents", "create", "x"], &["tenants", "list"]]
        {
            written.extend(house.cli(credential, command).await.all());
        }
    }
    written.extend(mistakes::make_all(&house, &credentials.key).await);
    written.extend(house.log_in_and_out(&credentials.key).await);
    secrets.keep("an agent's next key", house.key_after("web-2", &first).await);

    let Credentials { admin, key, key_id, .. } = &credentials;
    written.extend(house.cli(admin, &["keys", "revoke", key_id]).await.all());
    written.extend(ask_everywhere(&house, key).await);
    written.extend(house.cli(key, &["whoami"]).await.all());
    for command in [
        &["keys", "list", "--all", "-o", "json"][..],
        &["enrolment", "list", "--all", "-o", "json"],
        &["audit", "-o", "json"],
    ] {
        written.extend(house.cli(admin, command).await.all());
    }
    written.extend(house.told_by_programs(admin, &["web-1", "web-2"]).await);
    written.extend(house.metrics().await);

    let text = String::from_utf8_lossy(&written);
    for proof in
        [key_id.as_str(), "audit.call", "a child of web-1", "a child of web-2", "Usage: ", "signalbox_"]
    {
        assert!(text.contains(proof), "{proof} is not in what was answered, so that it was not asked");
    }
    let mut found: Vec<_> = secrets.found(&written);
    for (name, log) in house.stop().await {
        let text = String::from_utf8_lossy(&log);
        assert!(text.contains("TRACE") && text.contains("DEBUG"), "{name} has not logged everything: {text}");
        found.extend(secrets.found(&log).into_iter().map(|found| format!("{name}: {found}")));
    }
    assert!(found.is_empty(), "{} pieces of secrets were written:\n{}", found.len(), found.join("\n\n"));
}
