//! Kinds that a tenant adds at run time live like the built-in ones.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use signalbox_identity::Role;
use signalbox_proto::v1;
use signalbox_testbed::{Client, State, Watcher, data, database, token};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

fn ticket() -> v1::Kind {
    let schema = json!({
        "type": "object",
        "properties": {
            "title": {"type": "string", "maxLength": 100},
            "grade": {"enum": ["HIGH", "LOW"]},
            "status": {"type": "string"},
            "incident": {"type": "string"},
            "follows": {"type": "array", "items": {"type": "string"}},
            "weight": {"type": "number", "x-monotonic": true},
        },
        "required": ["title"],
        "additionalProperties": false,
    });
    let step = |to: &[&str]| v1::States { names: to.iter().map(|to| (*to).into()).collect() };
    v1::Kind {
        name: "ticket".into(),
        doc: "A request of a customer.".into(),
        schema: schema.to_string().into(),
        lifecycle: Some(v1::Lifecycle {
            field: "status".into(),
            initial: "open".into(),
            transitions: [("open".to_owned(), step(&["closed"])), ("closed".to_owned(), step(&["open"]))]
                .into(),
        }),
        attributes: [("severity".to_owned(), "grade".to_owned())].into(),
        references: [("incident".into(), "incident".into()), ("follows".into(), "ticket".into())].into(),
        ..v1::Kind::default()
    }
}

async fn apply(client: &Client, kind: v1::Kind) -> Result<v1::ApplyKindResponse, Status> {
    let request = v1::ApplyKindRequest { kind: Some(kind), ..v1::ApplyKindRequest::default() };
    Ok(client.catalog().apply_kind(request).await?.into_inner())
}

async fn delete(client: &Client, name: &str) -> Result<(), Status> {
    let request = v1::DeleteKindRequest { name: name.into(), ..v1::DeleteKindRequest::default() };
    client.catalog().delete_kind(request).await.map(drop)
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.expect_err("it is refused");
    let violations = status.get_details_bad_request().map(|details| details.field_violations);
    let field = violations.and_then(|violations| violations.into_iter().next()).map(|v| v.field);
    (status.code(), field.unwrap_or_default())
}

#[tokio::test]
async fn a_kind_of_a_tenant_lives_like_the_built_in_ones_on_every_replica() {
    let database = database().await;
    let (a, b) = (State::start(&database).await, State::start(&database).await);
    let admin = Client::new(a.channel(), Role::Admin);
    let operator = Client::new(b.channel(), Role::Operator);
    let mut watcher = Watcher::start(b.channel()).await;
    assert_eq!(
        refusal(operator.create("ticket", "", json!({"title": "a"})).await),
        (Code::InvalidArgument, "kind".into())
    );
    let applied = apply(&admin, ticket()).await.unwrap();
    let kind = applied.kind.unwrap();
    assert_eq!((kind.version, applied.revision, kind.built_in), (1, 1, false));
    assert_eq!(kind.event_types, ["ticket.created", "ticket.updated", "ticket.deleted"]);
    assert_eq!(watcher.next().await.r#type, "kind.created");
    let again = apply(&admin, ticket()).await.unwrap();
    assert_eq!((again.kind.unwrap().version, again.revision), (1, 2), "the same definition is no change");

    let first = operator.create("ticket", "t-1", json!({"title": "a", "grade": "HIGH"})).await.unwrap();
    assert_eq!((first.state.as_str(), first.attributes["severity"].values[0].as_str()), ("open", "HIGH"));
    let created = watcher.next().await;
    assert_eq!(created.r#type, "ticket.created");
    assert_eq!(data(&created)["data"], json!({"title": "a", "grade": "HIGH", "status": "open"}));
    assert_eq!(created.attributes["severity"].values, ["HIGH"]);
    let made = operator.create("ticket", "", json!({"title": "b", "follows": ["t-1"]})).await.unwrap();
    assert!(made.id.starts_with("ticket_"));

    for (data, code, field) in [
        (json!({"title": 1}), Code::InvalidArgument, "data.title"),
        (json!({"title": "a", "colour": 1}), Code::InvalidArgument, "data.colour"),
        (json!({"title": "a", "incident": "inc_none"}), Code::NotFound, "data.incident"),
        (json!({"title": "a", "follows": ["t-1", "t-2"]}), Code::NotFound, "data.follows[1]"),
        (json!({"title": "a", "status": "closed"}), Code::FailedPrecondition, "data.status"),
        (json!({"title": "a", "status": "lost"}), Code::InvalidArgument, "data.status"),
    ] {
        let refused = refusal(operator.create("ticket", "", data.clone()).await);
        assert_eq!(refused, (code, field.to_owned()), "{data}");
    }
    operator.patch("ticket", "t-1", json!({"weight": 2.5})).await.unwrap();
    let back = operator.patch("ticket", "t-1", json!({"weight": 1})).await;
    assert_eq!(refusal(back), (Code::FailedPrecondition, "merge_patch.weight".into()));
    let closed = operator.patch("ticket", "t-1", json!({"status": "closed"})).await.unwrap();
    assert_eq!(closed.state, "closed");

    let high = v1::AttributeValues { values: vec!["HIGH".into()] };
    let request = v1::ListResourcesRequest {
        kind: "ticket".into(),
        attributes: [("severity".to_owned(), high)].into(),
        states: vec!["closed".into()],
        ..v1::ListResourcesRequest::default()
    };
    let page = operator.resources().list_resources(request).await.unwrap().into_inner();
    assert_eq!(page.resources.len(), 1);
    assert_eq!(page.resources[0], closed);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_changed_definition_holds_from_the_next_change_on() {
    let database = database().await;
    let (a, b) = (State::start(&database).await, State::start(&database).await);
    let (admin, operator) = (Client::new(a.channel(), Role::Admin), Client::new(b.channel(), Role::Operator));
    apply(&admin, ticket()).await.unwrap();
    operator.create("ticket", "t-1", json!({"title": "a", "grade": "HIGH"})).await.unwrap();
    let mut narrow = ticket();
    narrow.schema =
        json!({"type": "object", "properties": {"title": {"type": "string"}, "status": {}}, "additionalProperties": false})
            .to_string()
            .into();
    narrow.attributes.clear();
    narrow.references.clear();
    let stale = v1::ApplyKindRequest {
        kind: Some(narrow.clone()),
        expected_version: 7,
        ..v1::ApplyKindRequest::default()
    };
    assert_eq!(refusal(admin.catalog().apply_kind(stale).await), (Code::Aborted, "expected_version".into()));
    assert_eq!(apply(&admin, narrow).await.unwrap().kind.unwrap().version, 2);
    // The other replica has compiled the first version, and goes by the second.
    let old_field = operator.patch("ticket", "t-1", json!({"title": "b"})).await;
    assert_eq!(refusal(old_field), (Code::InvalidArgument, "merge_patch.grade".into()));
    let mended = operator.patch("ticket", "t-1", json!({"grade": null})).await.unwrap();
    assert_eq!((mended.version, mended.attributes.is_empty()), (2, true));

    assert_eq!(refusal(delete(&admin, "ticket").await), (Code::FailedPrecondition, "name".into()));
    operator.delete("ticket", "t-1").await.unwrap();
    delete(&admin, "ticket").await.unwrap();
    assert_eq!(refusal(delete(&admin, "ticket").await), (Code::NotFound, "name".into()));
    assert_eq!(refusal(operator.create("ticket", "", json!({"title": "a"})).await).0, Code::InvalidArgument);
    // Once more under the same name and version, with other rules.
    apply(&admin, ticket()).await.unwrap();
    operator.create("ticket", "", json!({"title": "a", "grade": "LOW"})).await.unwrap();
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_definition_that_makes_no_sense_is_refused_by_its_field() {
    let state = State::start(&database().await).await;
    let admin = Client::new(state.channel(), Role::Admin);
    let schema = |schema: Value| v1::Kind { schema: schema.to_string().into(), ..ticket() };
    let deep: Value =
        serde_json::from_str(&format!("{}1{}", r#"{"not":"#.repeat(40), "}".repeat(40))).unwrap();
    for (kind, field) in [
        (v1::Kind { name: "Ticket".into(), ..ticket() }, "kind.name"),
        (v1::Kind { name: "a".repeat(33), ..ticket() }, "kind.name"),
        (v1::Kind { name: "incident".into(), ..ticket() }, "kind.name"),
        (v1::Kind { name: "kind".into(), ..ticket() }, "kind.name"),
        (v1::Kind { name: "agent".into(), ..ticket() }, "kind.name"),
        (v1::Kind { doc: "x".repeat(2000), ..ticket() }, "kind.doc"),
        (v1::Kind { schema: "{".into(), ..ticket() }, "kind.schema"),
        (schema(json!({})), "kind.schema.type"),
        (
            schema(json!({"type": "object", "properties": {"a": {"type": "nonsense"}}})),
            "kind.schema.properties.a.type",
        ),
        (schema(json!({"type": "object", "allOf": [{"$ref": "#"}]})), "kind.schema"),
        (schema(json!({"type": "object", "$ref": "https://example.com"})), "kind.schema"),
        (schema(deep), "kind.schema"),
        (schema(json!({"type": "object", "description": "x".repeat(70_000)})), "kind.schema"),
        (
            v1::Kind { attributes: [("colour".into(), "title".into())].into(), ..ticket() },
            "kind.attributes.colour",
        ),
        (
            v1::Kind { attributes: [("type".into(), "none".into())].into(), ..ticket() },
            "kind.attributes.type",
        ),
        (
            v1::Kind { references: [("title".into(), "none".into())].into(), ..ticket() },
            "kind.references.title",
        ),
        (
            v1::Kind {
                lifecycle: Some(v1::Lifecycle {
                    field: "none".into(),
                    initial: "a".into(),
                    ..v1::Lifecycle::default()
                }),
                ..ticket()
            },
            "kind.lifecycle.field",
        ),
    ] {
        let refused = refusal(apply(&admin, kind.clone()).await);
        assert_eq!(refused, (Code::InvalidArgument, field.to_owned()), "{kind:.300?}");
    }
    let operator = Client::new(state.channel(), Role::Operator);
    assert_eq!(refusal(apply(&operator, ticket()).await).0, Code::PermissionDenied);
    assert_eq!(refusal(delete(&admin, "incident").await), (Code::FailedPrecondition, "name".into()));
    let log = operator.watch().read(v1::ReadRequest::default()).await.unwrap().into_inner();
    assert!(log.events.is_empty());
    state.stop().await;
}

#[tokio::test]
async fn a_tenant_adds_a_hundred_kinds_at_most() {
    let state = State::start(&database().await).await;
    let admin = Client::new(state.channel(), Role::Admin);
    let named = |n: usize| v1::Kind {
        name: format!("k{n}"),
        schema: r#"{"type": "object"}"#.into(),
        ..v1::Kind::default()
    };
    for n in 0..100 {
        apply(&admin, named(n)).await.unwrap();
    }
    assert_eq!(refusal(apply(&admin, named(100)).await), (Code::ResourceExhausted, "kind".into()));
    apply(&admin, v1::Kind { doc: "changed".into(), ..named(7) }).await.unwrap();
    delete(&admin, "k7").await.unwrap();
    apply(&admin, named(100)).await.unwrap();
    state.stop().await;
}

#[tokio::test]
async fn the_catalog_is_told_with_the_kinds_of_the_own_tenant_only() {
    let state = State::start(&database().await).await;
    let admin = Client::new(state.channel(), Role::Admin);
    apply(&admin, ticket()).await.unwrap();
    let names = async |client: &Client| -> Vec<String> {
        let kinds = client.catalog().list_kinds(v1::ListKindsRequest {}).await.unwrap().into_inner().kinds;
        kinds.into_iter().map(|kind| kind.name).collect()
    };
    let own = names(&admin).await;
    assert!(own.is_sorted() && own.contains(&"ticket".to_owned()) && own.contains(&"incident".to_owned()));
    let stranger = Client::with_token(state.channel(), &token("other", Role::Viewer));
    assert!(!names(&stranger).await.contains(&"ticket".to_owned()));
    let get = |name: &str| v1::GetKindRequest { name: name.into() };
    let kind = admin.catalog().get_kind(get("ticket")).await.unwrap().into_inner().kind.unwrap();
    assert_eq!(
        kind,
        v1::Kind {
            version: 1,
            event_types: kind.event_types.clone(),
            schema: kind.schema.clone(),
            ..ticket()
        }
    );
    let given: Value = serde_json::from_slice(&ticket().schema).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&kind.schema).unwrap(), given);
    assert_eq!(refusal(stranger.catalog().get_kind(get("ticket")).await), (Code::NotFound, "name".into()));
    let incident = stranger.catalog().get_kind(get("incident")).await.unwrap().into_inner().kind.unwrap();
    assert!(incident.built_in && incident.lifecycle.is_some() && !incident.event_types.is_empty());

    let types = admin.catalog().list_event_types(v1::ListEventTypesRequest {}).await.unwrap().into_inner();
    let find = |name: &str| types.event_types.iter().find(|known| known.name == name);
    assert!(find("ticket.updated").is_some_and(|known| !known.occurrence));
    assert!(find("detection.triggered").is_some_and(|known| known.occurrence && !known.schema.is_empty()));
    // Nobody publishes what follows from a change, of whatever tenant.
    for client in [&admin, &Client::with_token(state.channel(), &token("other", Role::Operator))] {
        let result = client.publish("ticket.created", json!({})).await.unwrap();
        assert_eq!((result.revision, result.code.as_str()), (0, "INVALID_ARGUMENT"));
    }
    state.stop().await;
}

#[tokio::test]
async fn a_definition_that_cannot_be_read_harms_nobody_else() {
    let database = database().await;
    let state = State::start(&database).await;
    let admin = Client::new(state.channel(), Role::Admin);
    apply(&admin, ticket()).await.unwrap();
    let pool = sqlx::PgPool::connect(database.expose_secret()).await.unwrap();
    sqlx::query("UPDATE kinds SET definition = jsonb_set(definition::jsonb, '{schema,type}', '1')::json")
        .execute(&pool)
        .await
        .unwrap();
    // Enough of both at once that they share commits.
    let operator = Client::new(state.channel(), Role::Operator);
    let calls = (0..64).map(|n| {
        let operator = operator.clone();
        async move {
            let (kind, data) = match n % 2 {
                0 => ("ticket", json!({"title": "x"})),
                _ => ("entity", json!({"type": "host", "label": "x"})),
            };
            (kind, operator.create(kind, "", data).await.map_err(|status| status.code()))
        }
    });
    for (kind, answer) in futures::future::join_all(calls).await {
        match kind {
            "ticket" => assert_eq!(answer.unwrap_err(), Code::Internal, "a repetition would be of no use"),
            _ => drop(answer.expect("it has nothing to do with the other kind")),
        }
    }
    state.stop().await;
}
