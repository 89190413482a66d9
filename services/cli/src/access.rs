//! Makes tokens, and says whose token is presented.

use std::time::Duration;

use comfy_table::{Attribute, Cell};
use secrecy::SecretString;
use serde::Serialize;
use signalbox_identity::{Keys, TokenConfig, TokenRequest};
use signalbox_proto::{
    timestamp,
    v1::{AuthenticateRequest, IssueTokenRequest, Role},
};
use signalbox_telemetry::now;

use crate::{
    args::token::TokenArgs,
    client::{Client, read_secret},
    error::Error,
    output::{
        Output, bare_table, note, plain,
        time::{relative, rfc3339},
    },
};

const SECRET_VARIABLE: &str = "SIGNALBOX_JWT_SECRET";

/// A token in JSON.
#[derive(Serialize)]
struct TokenView {
    token: String,
    expires_at: Option<String>,
}

/// Asks the state service for a token.
pub(crate) async fn issue(client: &Client, args: TokenArgs, output: &mut Output) -> Result<(), Error> {
    let what = "issue a token";
    let role = Role::from_word(args.role.word()).unwrap_or_default();
    let request = IssueTokenRequest {
        subject: args.subject,
        role: role.into(),
        ttl_s: args.ttl,
        agent_id: args.agent.unwrap_or_default(),
    };
    let issued = client.call(what, client.access().issue_token(request)).await?;
    if issued.token.is_empty() {
        return Err(Error::Answer { what: what.into(), problem: "has no token" });
    }
    print(
        TokenView { token: issued.token, expires_at: rfc3339(issued.expires_at.as_ref()) },
        args.ttl,
        output,
    )
}

/// Signs a token here, with the secret that the servers check tokens with.
pub(crate) fn sign(args: TokenArgs, output: &mut Output) -> Result<(), Error> {
    let secret = match &args.secret_file {
        Some(path) => trimmed(&read_secret(path)?),
        None => std::env::var(SECRET_VARIABLE).map(SecretString::from).map_err(|_| Error::Input {
            field: SECRET_VARIABLE.into(),
            expected: "the secret to sign with, because of --tenant, unless --secret-file is given".into(),
            got: "nothing".into(),
        })?,
    };
    let request = TokenRequest {
        subject: args.subject,
        tenant_id: args.tenant.unwrap_or_default(),
        role: args.role,
        ttl: time::Duration::seconds(args.ttl.into()),
        agent_id: args.agent,
    };
    let at = now();
    let token = Keys::new(&TokenConfig::secret(secret))
        .and_then(|keys| keys.issue(&request, at))
        .map_err(Error::Sign)?;
    print(TokenView { token, expires_at: rfc3339(Some(&timestamp(at + request.ttl))) }, args.ttl, output)
}

/// Says whose token is presented.
pub(crate) async fn whoami(client: &Client, output: &mut Output) -> Result<(), Error> {
    #[derive(Serialize)]
    struct View<'a> {
        subject: &'a str,
        tenant_id: &'a str,
        role: &'a str,
        expires_at: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        profile: Option<&'a str>,
    }
    let who = client
        .call("ask whose token this is", client.access().authenticate(AuthenticateRequest::default()))
        .await?;
    if output.is_json() {
        return output.document(&View {
            subject: &who.subject,
            tenant_id: &who.tenant_id,
            role: who.role().word(),
            expires_at: rfc3339(who.expires_at.as_ref()),
            profile: client.profile(),
        });
    }
    let mut table = bare_table();
    let mut row = |name, value: String| {
        table.add_row([Cell::new(name).add_attribute(Attribute::Dim), Cell::new(value)]);
    };
    row("subject", plain(&who.subject).into_owned());
    row("tenant", plain(&who.tenant_id).into_owned());
    row("role", who.role().word().into());
    let expires = who.expires_at.as_ref().map_or_else(|| "never".into(), |at| relative(Some(at), now()));
    row("expires", expires);
    row("server", plain(client.url()).into_owned());
    if let Some(profile) = client.profile() {
        row("profile", profile.into());
    }
    output.table(table)
}

fn print(token: TokenView, ttl_s: u32, output: &mut Output) -> Result<(), Error> {
    if output.is_json() {
        return output.document(&token);
    }
    note(format_args!("holds for {}", humantime::format_duration(Duration::from_secs(ttl_s.into()))));
    output.text(token.token)
}

/// Without the line end that editors put behind the only line of a file.
fn trimmed(secret: &SecretString) -> SecretString {
    use secrecy::ExposeSecret as _;
    secret.expose_secret().trim_end_matches(['\r', '\n']).into()
}
