//! Lists of resources: in pages bounded by count and bytes, restricted, each at the cursor that it tells.

use std::collections::BTreeMap;

use serde_json::json;
use signalbox_identity::Role;
use signalbox_proto::v1;
use signalbox_testbed::{Client, State, database};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

fn field_of(status: &Status) -> String {
    let violations = status.get_details_bad_request().map(|details| details.field_violations);
    violations.and_then(|violations| violations.into_iter().next()).map(|v| v.field).unwrap_or_default()
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.expect_err("it is refused");
    assert!(!status.message().is_empty());
    (status.code(), field_of(&status))
}

fn list(kind: &str) -> v1::ListResourcesRequest {
    v1::ListResourcesRequest { kind: kind.into(), ..v1::ListResourcesRequest::default() }
}

fn asked(attributes: &[(&str, &[&str])]) -> BTreeMap<String, v1::AttributeValues> {
    let values =
        |values: &[&str]| v1::AttributeValues { values: values.iter().map(|v| (*v).into()).collect() };
    attributes.iter().map(|(name, of)| ((*name).to_owned(), values(of))).collect()
}

#[tokio::test]
async fn a_list_is_divided_into_pages_and_restricted() {
    let state = State::start(&database().await).await;
    let operator = Client::new(state.channel(), Role::Operator);
    for n in 0..12 {
        let severity = if n % 3 == 0 { "HIGH" } else { "LOW" };
        let data =
            json!({"type": "t", "severity": severity, "region": if n < 6 { "north" } else { "south" }});
        operator.create("incident", &format!("inc_{n:02}"), data).await.unwrap();
    }
    operator.create("analysis", "ana_1", json!({"incident_id": "inc_00"})).await.unwrap();
    operator.patch("incident", "inc_03", json!({"status": "RESOLVED", "resolution": "x"})).await.unwrap();

    let mut request = v1::ListResourcesRequest { page_size: 5, ..list("incident") };
    let mut ids = Vec::new();
    let mut sizes = Vec::new();
    loop {
        let page = operator.resources().list_resources(request.clone()).await.unwrap().into_inner();
        assert_eq!(page.cursor.unwrap().revision, 29);
        sizes.push(page.resources.len());
        ids.extend(page.resources.into_iter().map(|resource| resource.id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(sizes, [5, 5, 2]);
    assert_eq!(ids, (0..12).map(|n| format!("inc_{n:02}")).collect::<Vec<_>>());

    let ids_of = async |request: v1::ListResourcesRequest| {
        let page = operator.resources().list_resources(request).await.unwrap().into_inner();
        page.resources.into_iter().map(|resource| resource.id).collect::<Vec<_>>()
    };
    let north = asked(&[("severity", &["HIGH"]), ("region", &["north", "east"])]);
    assert_eq!(
        ids_of(v1::ListResourcesRequest { attributes: north, ..list("incident") }).await,
        ["inc_00", "inc_03"]
    );
    let resolved = v1::ListResourcesRequest { states: vec!["RESOLVED".into()], ..list("incident") };
    assert_eq!(ids_of(resolved).await, ["inc_03"]);
    // An analysis has what its incident has.
    let inherited =
        v1::ListResourcesRequest { attributes: asked(&[("severity", &["HIGH"])]), ..list("analysis") };
    assert_eq!(ids_of(inherited).await, ["ana_1"]);

    for (request, field) in [
        (list("spaceship"), "kind"),
        (v1::ListResourcesRequest { page_size: 1001, ..list("incident") }, "page_size"),
        (v1::ListResourcesRequest { page_token: "a b".into(), ..list("incident") }, "page_token"),
        (v1::ListResourcesRequest { states: vec!["GONE".into()], ..list("incident") }, "states"),
        (
            v1::ListResourcesRequest { attributes: asked(&[("component", &["x"])]), ..list("incident") },
            "attributes.component",
        ),
        (v1::ListResourcesRequest { agent_id: "a b".into(), ..list("incident") }, "agent_id"),
    ] {
        let refused = refusal(operator.resources().list_resources(request).await);
        assert_eq!(refused, (Code::InvalidArgument, field.to_owned()));
    }
    state.stop().await;
}

#[tokio::test]
async fn a_page_has_as_much_as_fits_into_a_message() {
    let state = State::start(&database().await).await;
    let operator = Client::new(state.channel(), Role::Operator);
    let large: Vec<_> = (0..120).map(|n| format!("{n}{}", "x".repeat(500))).collect();
    for n in 0..60 {
        let data = json!({"type": "t", "severity": "LOW", "affected_resources": large});
        operator.create("incident", &format!("inc_{n:02}"), data).await.unwrap();
    }
    let request = v1::ListResourcesRequest { page_size: 1000, ..list("incident") };
    let page = operator.resources().list_resources(request.clone()).await.unwrap().into_inner();
    assert!((40..60).contains(&page.resources.len()), "{}", page.resources.len());
    let next = v1::ListResourcesRequest { page_token: page.next_page_token, ..request };
    let rest = operator.resources().list_resources(next).await.unwrap().into_inner();
    assert_eq!(page.resources.len() + rest.resources.len(), 60);
    assert!(rest.next_page_token.is_empty());

    // What a list goes by is shown beside the data, and counts as well.
    let schema =
        json!({"type": "object", "properties": {"parts": {"type": "array", "items": {"type": "string"}}}});
    let kind = v1::Kind {
        name: "machine".into(),
        schema: schema.to_string().into(),
        attributes: [("component".to_owned(), "parts".to_owned())].into(),
        ..v1::Kind::default()
    };
    let apply = v1::ApplyKindRequest { kind: Some(kind), ..v1::ApplyKindRequest::default() };
    Client::new(state.channel(), Role::Admin).catalog().apply_kind(apply).await.unwrap();
    for n in 0..50 {
        operator.create("machine", &format!("m-{n:02}"), json!({"parts": large})).await.unwrap();
    }
    let request = v1::ListResourcesRequest { page_size: 1000, ..list("machine") };
    let page = operator.resources().list_resources(request).await.expect("the page can be read").into_inner();
    assert!((20..30).contains(&page.resources.len()), "{}", page.resources.len());
    state.stop().await;
}
