//! Creates, lists and revokes API keys.

use serde::Serialize;
use signalbox_proto::{
    to_time,
    v1::{ApiKey, CreateApiKeyRequest, ListApiKeysRequest, RevokeApiKeyRequest, Role},
};
use signalbox_telemetry::now;
use time::OffsetDateTime;

use crate::{
    args::{
        GlobalArgs,
        keys::{CreateArgs, KeysCommand, ListArgs},
    },
    client::{Client, idempotency_key},
    error::Error,
    output::{
        Output,
        key::{KeyView, keys_table},
        note, plain,
    },
};

/// Keys on one page.
const PAGE_SIZE: u32 = 1000;

/// Does what was asked about API keys.
pub(crate) async fn run(global: &GlobalArgs, what: KeysCommand, output: &mut Output) -> Result<(), Error> {
    let client = Client::connect(global).await?;
    match what {
        KeysCommand::Create(args) => create(&client, args, output).await,
        KeysCommand::List(args) => list(&client, &args, output).await,
        KeysCommand::Revoke { key_id } => revoke(&client, key_id, output).await,
    }
}

async fn create(client: &Client, args: CreateArgs, output: &mut Output) -> Result<(), Error> {
    #[derive(Serialize)]
    struct View<'a> {
        secret: &'a str,
        #[serde(flatten)]
        key: KeyView<'a>,
    }
    let what = "create an API key";
    let request = CreateApiKeyRequest {
        name: args.name,
        role: Role::from_word(args.role.word()).unwrap_or_default().into(),
        ttl_s: args.ttl.unwrap_or_default(),
        idempotency_key: idempotency_key(),
        agent_id: args.agent.unwrap_or_default(),
    };
    let created = client.call(what, client.access().create_api_key(request)).await?;
    let key = created.key.ok_or_else(|| Error::Answer { what: what.into(), problem: "has no key" })?;
    if created.secret.is_empty() {
        return Err(Error::Answer { what: what.into(), problem: "has no secret" });
    }
    if output.is_json() {
        return output.document(&View { secret: &created.secret, key: KeyView::from(&key) });
    }
    note(format_args!("the key {} is shown this once", plain(&key.key_id)));
    output.text(created.secret)
}

async fn list(client: &Client, args: &ListArgs, output: &mut Output) -> Result<(), Error> {
    #[derive(Serialize)]
    struct View<'a> {
        keys: Vec<KeyView<'a>>,
    }
    let (mut keys, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListApiKeysRequest { page_size: PAGE_SIZE, page_token };
        let page = client.call("list the API keys", client.access().list_api_keys(request)).await?;
        keys.extend(page.keys);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let at = now();
    keys.retain(|key| args.all || holds(key, at));
    if output.is_json() {
        return output.document(&View { keys: keys.iter().map(KeyView::from).collect() });
    }
    if keys.is_empty() {
        note("no API keys");
        return Ok(());
    }
    output.table(keys_table(&keys, at))
}

async fn revoke(client: &Client, key_id: String, output: &mut Output) -> Result<(), Error> {
    let what = format!("revoke the API key {key_id}");
    let revoked = client.call(&*what, client.access().revoke_api_key(RevokeApiKeyRequest { key_id })).await?;
    let key = revoked.key.ok_or_else(|| Error::Answer { what, problem: "has no key" })?;
    if output.is_json() {
        return output.document(&KeyView::from(&key));
    }
    output.text(format_args!("revoked {}, {}", plain(&key.key_id), plain(&key.name)))
}

fn holds(key: &ApiKey, now: OffsetDateTime) -> bool {
    let is_over = key.expires_at.as_ref().and_then(to_time).is_some_and(|at| at <= now);
    key.revoked_at.is_none() && !is_over
}
