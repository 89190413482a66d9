//! Programs that are called wrongly, asked for their settings or for help, each with every secret at hand.

use signalbox_testbed::Reserved;

use super::house::House;

/// Calls every program in every such way, and gives all that they say.
pub(super) async fn make_all(house: &House, key: &str) -> Vec<u8> {
    let mut said = Vec::new();
    let nobody = Reserved::any();
    let listen = nobody.address().to_string();
    let server_tls: Vec<_> =
        house.server_tls.iter().map(|(name, path)| (*name, path.to_str().expect("it is text"))).collect();
    let good = [
        ("SIGNALBOX_PROFILE", "development"),
        ("SIGNALBOX_DATABASE_URL", house.database_url.as_str()),
        ("SIGNALBOX_JWT_SECRET", &house.jwt_secret),
        ("SIGNALBOX_TOKEN", key),
        ("SIGNALBOX_ADMIN_TOKEN", key),
        ("SIGNALBOX_STATE_LISTEN", &listen),
        ("SIGNALBOX_STATE_METRICS_LISTEN", "127.0.0.1:0"),
    ];
    for (program, args) in calls() {
        said.extend(house.run(program, args, &[&good[..], &server_tls].concat()).await.all());
    }
    for (name, value) in wrong_values(house, key) {
        let environment = [&good[..], &server_tls, &[(name, value.as_str())]].concat();
        for (program, args) in [
            ("signalbox-state", &["--database-wait-s", "1"][..]),
            ("signalbox-edge", &["--check-config"]),
            ("signalbox-agent", &["run", "--id", "web-9", "--check-config", "--", "true"]),
            ("signalbox", &["whoami"]),
        ] {
            // What is no setting of a server's, or a good one, would let it serve.
            let is_served = program == "signalbox-state" && !stops_state(name);
            let args = if is_served { &["--check-config"] } else { args };
            said.extend(house.run(program, args, &environment).await.all());
        }
    }
    for text in wrong_files(house) {
        let file = house.file("wrong.toml", &text);
        for program in ["signalbox-state", "signalbox-edge"] {
            let args = ["--check-config", "--config", file.as_str()];
            said.extend(house.run(program, &args, &good).await.all());
        }
    }
    let flag = format!("--jwt-secret={}", house.jwt_secret);
    let misspelt = format!("--jwt-secrett={}", house.jwt_secret);
    for args in [[flag.as_str(), "--profil=x"], [misspelt.as_str(), "--check-config"]] {
        said.extend(house.run("signalbox-state", &args, &good).await.all());
    }
    said
}

/// Calls that show settings, or how to set them.
fn calls() -> [(&'static str, &'static [&'static str]); 12] {
    [
        ("signalbox-state", &["--check-config"]),
        ("signalbox-edge", &["--check-config"]),
        ("signalbox-agent", &["run", "--check-config", "--id", "web-9", "--", "true"]),
        ("signalbox-state", &["--help"]),
        ("signalbox-edge", &["--help"]),
        ("signalbox-agent", &["run", "--help"]),
        ("signalbox-agent", &["simulate", "--help"]),
        ("signalbox", &["--help"]),
        ("signalbox", &["token", "--help"]),
        ("signalbox-state", &["--no-such-flag"]),
        ("signalbox-agent", &["run", "--no-such-flag"]),
        ("signalbox", &["no-such-topic"]),
    ]
}

/// Variables with a secret in them that no program can use as they are.
fn wrong_values(house: &House, key: &str) -> Vec<(&'static str, String)> {
    let (url, secret) = (&house.database_url, &house.jwt_secret);
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (login, server) = rest.rsplit_once('@').expect("it has a login");
    let (_, password) = login.split_once(':').expect("it has a password");
    let (place, database) = server.split_once('/').expect("it names a database");
    vec![
        ("SIGNALBOX_STATE_LISTEN", house.edge.to_string()),
        ("SIGNALBOX_DATABASE_URL", format!("{scheme}://{login}@127.0.0.1:1/{database}")),
        ("SIGNALBOX_DATABASE_URL", format!("{scheme}://{login}@localhost:port/{database}")),
        ("SIGNALBOX_DATABASE_URL", format!("{scheme}://{login}@{place}/no_such_database")),
        ("SIGNALBOX_DATABASE_URL", format!("nonsense://{secret}")),
        ("SIGNALBOX_DATABASE_URL", format!("{url}&sslmode={password}")),
        ("SIGNALBOX_JWT_SECRET", secret[..31].to_owned()),
        ("SIGNALBOX_JWT_SECRET", format!("development-{secret}")),
        ("SIGNALBOX_TOKEN", format!("{key}\n{key}")),
        ("SIGNALBOX_TOKEN", format!("\u{7f}{key}")),
        ("SIGNALBOX_ENROLMENT_TOKEN", key.to_owned()),
        ("SIGNALBOX_GRPC_URL", format!("http://user:{password}@127.0.0.1:1")),
        ("SIGNALBOX_GRPC_URL", format!("ftp://user:{password}@127.0.0.1:1")),
        ("SIGNALBOX_GRPC_URL", format!("http://127.0.0.1:port/?token={key}")),
        // A private key where its certificate belongs.
        ("SIGNALBOX_TLS_CERT", path_of(house, "SIGNALBOX_TLS_KEY")),
        ("SIGNALBOX_TLS_CLIENT_CA", path_of(house, "SIGNALBOX_TLS_KEY")),
    ]
}

fn stops_state(name: &str) -> bool {
    ["SIGNALBOX_STATE_LISTEN", "SIGNALBOX_DATABASE_URL", "SIGNALBOX_TLS_CERT"].contains(&name)
}

fn path_of(house: &House, name: &str) -> String {
    let (_, path) = house.server_tls.iter().find(|(known, _)| *known == name).expect("it is one of them");
    path.to_str().expect("it is text").to_owned()
}

/// Files of settings with a secret in them that are wrong at the very place of it, or elsewhere.
fn wrong_files(house: &House) -> Vec<String> {
    let secret = &house.jwt_secret;
    [
        format!("jwt-secret = \"{secret}\nlisten = \"127.0.0.1:0\"\n"),
        format!("jwt-secret = {secret}\n"),
        format!("jwt-secret = [\"{secret}\"]\n"),
        format!("jwt-secret = \"\\{secret}\"\n"),
        format!("jwt-secrets = \"{secret}\"\n"),
        format!("jwt-secret = \"{secret}\"\nlissten = 5\n"),
        format!("[jwt]\nsecret = \"{secret}\"\n[jwt]\nsecret = \"{secret}\"\n"),
        format!("jwt-secret = \"{secret}\"\njwt-secret = \"{secret}\"\n"),
        format!("{secret}\n"),
        format!("jwt-secret-file = {{ path = \"{secret}\" }}\n"),
    ]
    .into()
}
