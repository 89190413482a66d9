//! Creates, lists and revokes enrolment tokens.

use serde::Serialize;
use signalbox_proto::{
    to_time,
    v1::{
        CreateEnrolmentTokenRequest, EnrolmentToken, ListEnrolmentTokensRequest, RevokeEnrolmentTokenRequest,
    },
};
use signalbox_telemetry::now;
use time::OffsetDateTime;

use crate::{
    args::{
        GlobalArgs,
        enrolment::{CreateArgs, EnrolmentCommand, ListArgs},
    },
    client::{Client, idempotency_key},
    error::Error,
    output::{
        Output,
        enrolment::{TokenView, tokens_table},
        note, plain,
    },
};

/// Tokens on one page.
const PAGE_SIZE: u32 = 1000;

/// Does what was asked about enrolment tokens.
pub(crate) async fn run(
    global: &GlobalArgs,
    what: EnrolmentCommand,
    output: &mut Output,
) -> Result<(), Error> {
    let client = Client::connect(global).await?;
    match what {
        EnrolmentCommand::Create(args) => create(&client, args, output).await,
        EnrolmentCommand::List(args) => list(&client, &args, output).await,
        EnrolmentCommand::Revoke { token_id } => revoke(&client, token_id, output).await,
    }
}

async fn create(client: &Client, args: CreateArgs, output: &mut Output) -> Result<(), Error> {
    #[derive(Serialize)]
    struct View<'a> {
        secret: &'a str,
        #[serde(flatten)]
        token: TokenView<'a>,
    }
    let what = "create an enrolment token";
    let request = CreateEnrolmentTokenRequest {
        name: args.name,
        uses_max: args.uses,
        ttl_s: args.ttl,
        labels: args.labels.into_iter().collect(),
        agent_id_pattern: args.agents,
        key_ttl_s: args.key_ttl,
        allows_again: args.again,
        idempotency_key: idempotency_key(),
    };
    let created = client.call(what, client.access().create_enrolment_token(request)).await?;
    let token = created.token.ok_or_else(|| Error::Answer { what: what.into(), problem: "has no token" })?;
    if created.secret.is_empty() {
        return Err(Error::Answer { what: what.into(), problem: "has no secret" });
    }
    if output.is_json() {
        return output.document(&View { secret: &created.secret, token: TokenView::from(&token) });
    }
    note(format_args!("the token {} is shown this once", plain(&token.token_id)));
    output.text(created.secret)
}

async fn list(client: &Client, args: &ListArgs, output: &mut Output) -> Result<(), Error> {
    #[derive(Serialize)]
    struct View<'a> {
        enrolment_tokens: Vec<TokenView<'a>>,
    }
    let (mut tokens, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListEnrolmentTokensRequest { page_size: PAGE_SIZE, page_token };
        let what = "list the enrolment tokens";
        let page = client.call(what, client.access().list_enrolment_tokens(request)).await?;
        tokens.extend(page.tokens);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let at = now();
    tokens.retain(|token| args.all || holds(token, at));
    if output.is_json() {
        return output.document(&View { enrolment_tokens: tokens.iter().map(TokenView::from).collect() });
    }
    if tokens.is_empty() {
        note("no enrolment tokens");
        return Ok(());
    }
    output.table(tokens_table(&tokens, at))
}

async fn revoke(client: &Client, token_id: String, output: &mut Output) -> Result<(), Error> {
    let what = format!("revoke the enrolment token {token_id}");
    let request = RevokeEnrolmentTokenRequest { token_id };
    let revoked = client.call(&*what, client.access().revoke_enrolment_token(request)).await?;
    let token = revoked.token.ok_or_else(|| Error::Answer { what, problem: "has no token" })?;
    if output.is_json() {
        return output.document(&TokenView::from(&token));
    }
    output.text(format_args!("revoked {}, {}", plain(&token.token_id), plain(&token.name)))
}

fn holds(token: &EnrolmentToken, now: OffsetDateTime) -> bool {
    let is_over = token.expires_at.as_ref().and_then(to_time).is_some_and(|at| at <= now);
    token.revoked_at.is_none() && !is_over && token.uses < token.uses_max
}
