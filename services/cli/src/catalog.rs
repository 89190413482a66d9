//! Shows the catalog, and adds kinds of the tenant's own to it. What a sound definition is, the server knows.

mod definition;

use serde::Serialize;
use signalbox_proto::v1::{
    ApplyKindRequest, DeleteKindRequest, GetKindRequest, Kind, ListEventTypesRequest, ListKindsRequest,
};

use crate::{
    args::{
        GlobalArgs,
        catalog::{ApplyArgs, CatalogCommand},
        value::Pattern,
    },
    client::{Client, idempotency_key},
    error::Error,
    output::{
        Output,
        kind::{EventTypeView, KindView, event_types_table, kind_table, kinds_table},
        note, plain,
    },
};

/// Does what was asked about the catalog.
pub(crate) async fn run(global: &GlobalArgs, what: CatalogCommand, output: &mut Output) -> Result<(), Error> {
    match what {
        CatalogCommand::Kinds => kinds(&Client::connect(global).await?, output).await,
        CatalogCommand::Kind { name } => kind(&Client::connect(global).await?, name, output).await,
        CatalogCommand::Events { types } => {
            event_types(&Client::connect(global).await?, &types, output).await
        }
        CatalogCommand::Apply(args) => {
            let definition = definition::read(&args.file)?;
            apply(&Client::connect(global).await?, &args, definition, output).await
        }
        CatalogCommand::Delete { name } => delete(&Client::connect(global).await?, name, output).await,
    }
}

async fn kinds(client: &Client, output: &mut Output) -> Result<(), Error> {
    #[derive(Serialize)]
    struct View<'a> {
        kinds: Vec<KindView<'a>>,
    }
    let listed =
        client.call("list the kinds", client.catalog().list_kinds(ListKindsRequest::default())).await?;
    if output.is_json() {
        return output.document(&View { kinds: listed.kinds.iter().map(KindView::from).collect() });
    }
    output.table(kinds_table(&listed.kinds))
}

async fn kind(client: &Client, name: String, output: &mut Output) -> Result<(), Error> {
    let what = format!("read the kind {name}");
    let found = client.call(&*what, client.catalog().get_kind(GetKindRequest { name })).await?;
    show(&found.kind.ok_or_else(|| Error::Answer { what, problem: "has no kind" })?, output)
}

async fn event_types(client: &Client, types: &[Pattern], output: &mut Output) -> Result<(), Error> {
    #[derive(Serialize)]
    struct View<'a> {
        event_types: Vec<EventTypeView<'a>>,
    }
    let request = ListEventTypesRequest::default();
    let mut listed =
        client.call("list the types of events", client.catalog().list_event_types(request)).await?;
    listed
        .event_types
        .retain(|known| types.is_empty() || types.iter().any(|pattern| pattern.matches(&known.name)));
    if output.is_json() {
        let event_types = listed.event_types.iter().map(EventTypeView::from).collect();
        return output.document(&View { event_types });
    }
    if listed.event_types.is_empty() {
        note("no such types of events");
        return Ok(());
    }
    output.table(event_types_table(&listed.event_types))
}

async fn apply(
    client: &Client,
    args: &ApplyArgs,
    definition: Kind,
    output: &mut Output,
) -> Result<(), Error> {
    let what = format!("apply the kind {}", definition.name);
    let request = ApplyKindRequest {
        kind: Some(definition),
        expected_version: args.expected_version,
        idempotency_key: idempotency_key(),
    };
    let applied = client.call(&*what, client.catalog().apply_kind(request)).await?;
    let kind = applied.kind.ok_or_else(|| Error::Answer { what, problem: "has no kind" })?;
    note(format_args!("version {} stands at revision {}", kind.version, applied.revision));
    show(&kind, output)
}

async fn delete(client: &Client, name: String, output: &mut Output) -> Result<(), Error> {
    #[derive(Serialize)]
    struct View<'a> {
        name: &'a str,
        revision: u64,
    }
    let request = DeleteKindRequest { name: name.clone(), idempotency_key: idempotency_key() };
    let what = format!("delete the kind {name}");
    let revision = client.call(what, client.catalog().delete_kind(request)).await?.revision;
    if output.is_json() {
        return output.document(&View { name: &name, revision });
    }
    output.text(format_args!("deleted {} at revision {revision}", plain(&name)))
}

fn show(kind: &Kind, output: &mut Output) -> Result<(), Error> {
    if output.is_json() {
        return output.document(&KindView::from(kind));
    }
    output.table(kind_table(kind))
}
