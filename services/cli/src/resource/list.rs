//! Lists resources through as many pages as it takes.

use serde::Serialize;
use signalbox_proto::v1::{AttributeValues, Cursor, ListResourcesRequest, Resource};
use signalbox_telemetry::now;

use crate::{
    args::resource::ListArgs,
    client::Client,
    error::Error,
    output::{
        Output, note, plain,
        resource::{ResourceView, resources_table},
    },
};

/// The servers give at most this many resources on a page.
const PAGE_SIZE_MAX: u32 = 1000;

/// The resources, and where a watch joins that is to miss nothing.
#[derive(Serialize)]
struct View<'a> {
    resources: Vec<ResourceView<'a>>,
    cursor: Option<String>,
    more: bool,
}

/// Lists the resources that were asked for.
pub(super) async fn list(client: &Client, args: ListArgs, output: &mut Output) -> Result<(), Error> {
    let Listed { resources, cursor, more } = pages(client, &args).await?;
    if more {
        note(format_args!("there are more resources; --limit {} shows the first of them", args.limit));
    }
    let cursor = cursor.map(|cursor| cursor.to_string());
    if output.is_json() {
        let resources = resources.iter().map(ResourceView::from).collect();
        return output.document(&View { resources, cursor, more });
    }
    if resources.is_empty() {
        note(format_args!("no resources of the kind {}", plain(&args.kind)));
    } else {
        output.table(resources_table(&args.kind, &resources, now()))?;
    }
    if let Some(cursor) = cursor {
        let (kind, cursor) = (plain(&args.kind), plain(&cursor));
        note(format_args!("`signalbox events tail -t '{kind}.*' --cursor {cursor}` goes on from here"));
    }
    Ok(())
}

struct Listed {
    resources: Vec<Resource>,
    /// The first page's: what happened before a later one was read is news.
    cursor: Option<Cursor>,
    more: bool,
}

async fn pages(client: &Client, args: &ListArgs) -> Result<Listed, Error> {
    let what = format!("list resources of the kind {}", args.kind);
    let wrong = |problem| Error::Answer { what: what.clone(), problem };
    let (mut resources, mut first, mut page_token) = (Vec::new(), None, String::new());
    loop {
        let room = args.limit.saturating_sub(u32::try_from(resources.len()).unwrap_or(u32::MAX));
        let request = request(args, room.min(PAGE_SIZE_MAX), page_token.clone());
        let page = client.call(&*what, client.resources().list_resources(request)).await?;
        resources.extend(page.resources);
        let cursor = first.get_or_insert_with(|| page.cursor.clone());
        let is_of_one_log = |(first, here): (&Cursor, &Cursor)| first.epoch == here.epoch;
        if !cursor.as_ref().zip(page.cursor.as_ref()).is_none_or(is_of_one_log) {
            return Err(wrong("is of two logs, one that was replaced by another"));
        }
        let more = !page.next_page_token.is_empty();
        if !more || resources.len() >= args.limit as usize {
            return Ok(Listed { resources, cursor: first.flatten(), more });
        }
        if page.next_page_token == page_token {
            return Err(wrong("has the same page again"));
        }
        page_token = page.next_page_token;
    }
}

fn request(args: &ListArgs, page_size: u32, page_token: String) -> ListResourcesRequest {
    let mut attributes = std::collections::BTreeMap::<String, AttributeValues>::new();
    for (name, values) in &args.attributes {
        attributes.entry(name.clone()).or_default().values.extend(values.iter().cloned());
    }
    ListResourcesRequest {
        kind: args.kind.clone(),
        page_size,
        page_token,
        attributes,
        states: args.states.clone(),
        agent_id: args.agent.clone(),
    }
}
