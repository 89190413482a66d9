//! Creates, reads, lists, changes and deletes resources of any kind. It must not know what the kinds are.

mod list;

use serde::Serialize;
use serde_json::{Map, Value};
use signalbox_proto::v1::{
    CreateResourceRequest, Cursor, DeleteResourceRequest, GetResourceRequest, Resource, UpdateResourceRequest,
};
use signalbox_telemetry::now;

use crate::{
    args::{
        GlobalArgs,
        resource::{CreateArgs, DeleteArgs, ResourceCommand, UpdateArgs},
    },
    client::{Client, idempotency_key},
    error::{Error, report},
    input,
    output::{
        Output, note, plain,
        resource::{ResourceView, resource_table},
    },
};

/// Does what was asked about resources.
pub(crate) async fn run(
    global: &GlobalArgs,
    what: ResourceCommand,
    output: &mut Output,
) -> Result<(), Error> {
    // What is given is read before the connection is made, so that a mistake in it is told without one.
    match what {
        ResourceCommand::Create(args) => {
            let data = fields_of(&args)?;
            create(&Client::connect(global).await?, args, data, output).await
        }
        ResourceCommand::Get { kind, id } => get(&Client::connect(global).await?, kind, id, output).await,
        ResourceCommand::List(args) => list::list(&Client::connect(global).await?, args, output).await,
        ResourceCommand::Update(args) => {
            let patch = patch_of(&args)?;
            update(&Client::connect(global).await?, args, patch, output).await
        }
        ResourceCommand::Delete(args) => {
            if args.expected_version != 0 && args.ids.len() > 1 {
                return Err(Error::Input {
                    field: "--expected-version".into(),
                    expected: "one resource that is to have it".into(),
                    got: format!("{} of them", args.ids.len()),
                });
            }
            delete(&Client::connect(global).await?, args, output).await
        }
    }
}

fn fields_of(args: &CreateArgs) -> Result<Map<String, Value>, Error> {
    let mut data = input::object_given("--data", &args.data)?;
    data.extend(args.settings.iter().cloned());
    Ok(data)
}

fn patch_of(args: &UpdateArgs) -> Result<Map<String, Value>, Error> {
    let mut patch = match &args.patch {
        Some(given) => input::object_given("--patch", given)?,
        None => Map::new(),
    };
    patch.extend(args.settings.iter().cloned());
    for field in &args.unset {
        if args.settings.iter().any(|(set, _)| set == field) {
            return Err(Error::Input {
                field: "--unset".into(),
                expected: "a field that is not set as well".into(),
                got: field.clone(),
            });
        }
        patch.insert(field.clone(), Value::Null);
    }
    Ok(patch)
}

async fn create(
    client: &Client,
    args: CreateArgs,
    data: Map<String, Value>,
    output: &mut Output,
) -> Result<(), Error> {
    let what = format!("create {}", named(&args.kind, &args.id));
    let request = CreateResourceRequest {
        kind: args.kind,
        id: args.id,
        data: Value::Object(data).to_string().into(),
        idempotency_key: idempotency_key(),
    };
    let created = client.call(&*what, client.resources().create_resource(request)).await?;
    show(&what, created.resource, created.revision, "created", output)
}

async fn get(client: &Client, kind: String, id: String, output: &mut Output) -> Result<(), Error> {
    /// A resource, and where a watch joins that is to miss nothing.
    #[derive(Serialize)]
    struct View<'a> {
        #[serde(flatten)]
        resource: ResourceView<'a>,
        cursor: Option<String>,
    }
    let (resource, cursor) = read(client, kind, id).await?;
    if output.is_json() {
        let cursor = cursor.map(|cursor| cursor.to_string());
        return output.document(&View { resource: ResourceView::from(&resource), cursor });
    }
    output.table(resource_table(&resource, now()))
}

/// Reads one resource.
pub(crate) async fn read(
    client: &Client,
    kind: String,
    id: String,
) -> Result<(Resource, Option<Cursor>), Error> {
    let what = format!("read {}", named(&kind, &id));
    let found = client.call(&*what, client.resources().get_resource(GetResourceRequest { kind, id })).await?;
    let resource = found.resource.ok_or_else(|| Error::Answer { what, problem: "has no resource" })?;
    Ok((resource, found.cursor))
}

async fn update(
    client: &Client,
    args: UpdateArgs,
    patch: Map<String, Value>,
    output: &mut Output,
) -> Result<(), Error> {
    let what = format!("update {}", named(&args.kind, &args.id));
    let request = UpdateResourceRequest {
        kind: args.kind,
        id: args.id,
        merge_patch: Value::Object(patch).to_string().into(),
        expected_version: args.expected_version,
        idempotency_key: idempotency_key(),
    };
    let updated = client.call(&*what, client.resources().update_resource(request)).await?;
    show(&what, updated.resource, updated.revision, "updated", output)
}

/// Shows a resource after a change of it.
fn show(
    what: &str,
    resource: Option<Resource>,
    revision: u64,
    done: &str,
    output: &mut Output,
) -> Result<(), Error> {
    let resource = resource.ok_or_else(|| Error::Answer { what: what.into(), problem: "has no resource" })?;
    note(format_args!("{done} at revision {revision}"));
    if output.is_json() {
        return output.document(&ResourceView::from(&resource));
    }
    output.table(resource_table(&resource, now()))
}

/// Deletes each resource that it can.
async fn delete(client: &Client, args: DeleteArgs, output: &mut Output) -> Result<(), Error> {
    #[derive(Serialize)]
    struct View<'a> {
        kind: &'a str,
        id: &'a str,
        revision: u64,
    }
    let (kind, total, mut failures) = (args.kind, args.ids.len(), Vec::new());
    for id in args.ids {
        let what = format!("delete {}", named(&kind, &id));
        let request = DeleteResourceRequest {
            kind: kind.clone(),
            id: id.clone(),
            expected_version: args.expected_version,
            idempotency_key: idempotency_key(),
        };
        match client.call(what, client.resources().delete_resource(request)).await {
            Ok(deleted) if output.is_json() => {
                output.json_line(&View { kind: &kind, id: &id, revision: deleted.revision })?;
            }
            Ok(deleted) => {
                let name = named(&kind, &id);
                output.text(format_args!("deleted {} at revision {}", plain(&name), deleted.revision))?;
            }
            Err(error) if total == 1 => return Err(error),
            Err(error) => {
                report(&error);
                failures.push(error.exit());
            }
        }
    }
    match failures.first() {
        None => Ok(()),
        Some(exit) => Err(Error::Deletions { failed: failures.len(), total, of: "resources", exit: *exit }),
    }
}

/// What an error calls a resource.
pub(crate) fn named(kind: &str, id: &str) -> String {
    if id.is_empty() { kind.into() } else { format!("{kind} {id}") }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::*;
    use crate::args::{Cli, Topic};

    fn parsed(arguments: &[&str]) -> ResourceCommand {
        let cli = Cli::try_parse_from([&["signalbox", "resource"], arguments].concat()).unwrap();
        let Topic::Resource(command) = cli.topic else { panic!("no resource: {arguments:?}") };
        command
    }

    #[test]
    fn settings_go_over_the_data() {
        let arguments =
            ["create", "rule", "--data", r#"{"name": "a", "tags": [1]}"#, "--set", "name=b", "--set", "n=2"];
        let ResourceCommand::Create(args) = parsed(&arguments) else { panic!("no create") };
        assert_eq!(Value::Object(fields_of(&args).unwrap()), json!({ "name": "b", "tags": [1], "n": 2 }));
    }

    #[test]
    fn what_is_unset_is_null_in_the_patch() {
        let arguments =
            ["update", "rule", "r", "--patch", r#"{"name": "a"}"#, "--set", "n=2", "--unset", "doc"];
        let ResourceCommand::Update(args) = parsed(&arguments) else { panic!("no update") };
        assert_eq!(Value::Object(patch_of(&args).unwrap()), json!({ "name": "a", "n": 2, "doc": null }));
        let ResourceCommand::Update(both) = parsed(&["update", "rule", "r", "--set", "n=2", "--unset", "n"])
        else {
            panic!("no update")
        };
        assert!(patch_of(&both).unwrap_err().to_string().starts_with("--unset: expected"));
    }

    #[test]
    fn an_update_changes_something() {
        assert!(Cli::try_parse_from(["signalbox", "resource", "update", "rule", "r"]).is_err());
    }
}
