//! Commands: durable first, delivered to the agent wherever it is, and followed to an honest end.

use secrecy::ExposeSecret as _;
use signalbox_identity::Role;
use signalbox_proto::v1::{self, ExecutionState, issue_command_request::Target};
use signalbox_testbed::{AgentWire, Client, State, Watcher, database, hello};
use tonic::Code;
use tonic_types::StatusExt as _;

fn stop(agent_id: &str) -> v1::IssueCommandRequest {
    v1::IssueCommandRequest {
        name: "stop".into(),
        parameters: br#"{"graceful":true}"#.to_vec().into(),
        target: Some(Target::AgentId(agent_id.into())),
        ..v1::IssueCommandRequest::default()
    }
}

fn update(sequence: u64, command_id: &str, state: ExecutionState) -> v1::Report {
    let body = v1::CommandUpdate {
        command_id: command_id.into(),
        state: state.into(),
        result: br#"{"exit_code":0}"#.to_vec().into(),
        error: String::new(),
    };
    v1::Report { sequence, body: Some(v1::report::Body::Command(body)), ..v1::Report::default() }
}

/// An agent that has never connected.
pub(crate) async fn register(state: &State, agent_id: &str) {
    let create = v1::CreateAgentRequest { agent_id: agent_id.into(), ..v1::CreateAgentRequest::default() };
    let admin = Client::new(state.channel(), Role::Admin);
    admin.agents().create_agent(create).await.expect("it is registered");
}

async fn state_of(client: &Client, command_id: &str) -> ExecutionState {
    let get = v1::GetCommandRequest { command_id: command_id.into() };
    let command = client
        .commands()
        .get_command(get)
        .await
        .expect("it is known")
        .into_inner()
        .command
        .expect("it is there");
    command.executions[0].state()
}

async fn next_state(watcher: &mut Watcher) -> String {
    let event = watcher.next_of("command.updated").await;
    let data: serde_json::Value = serde_json::from_slice(&event.data).expect("data is JSON");
    data["new_state"].as_str().expect("a state is a word").to_owned()
}

#[tokio::test]
async fn a_command_given_to_one_replica_reaches_an_agent_at_another() {
    let database = database().await;
    let (a, b) = (State::start(&database).await, State::start(&database).await);
    let mut wire = AgentWire::open(a.channel(), hello("web-1")).await.unwrap();
    let mut watcher = Watcher::start(b.channel()).await;
    let operator = Client::new(b.channel(), Role::Operator);
    let issued =
        operator.commands().issue_command(stop("web-1")).await.unwrap().into_inner().command.unwrap();
    // The agent may have it before its issuer has the answer.
    assert!(matches!(issued.executions[0].state(), ExecutionState::Queued | ExecutionState::Delivered));

    let delivered = wire.command().await;
    assert_eq!(delivered.command_id, issued.command_id);
    assert_eq!((delivered.name.as_str(), &delivered.parameters[..]), ("stop", &br#"{"graceful":true}"#[..]));
    assert_eq!(delivered.traceparent, issued.traceparent);
    wire.report(update(1, &issued.command_id, ExecutionState::Acknowledged)).await;
    wire.report(update(2, &issued.command_id, ExecutionState::InProgress)).await;
    wire.report(update(3, &issued.command_id, ExecutionState::Succeeded)).await;
    assert!(wire.acknowledged(3).await.is_empty());
    for expected in ["DELIVERED", "ACKNOWLEDGED", "IN_PROGRESS", "SUCCEEDED"] {
        assert_eq!(next_state(&mut watcher).await, expected);
    }
    assert_eq!(state_of(&operator, &issued.command_id).await, ExecutionState::Succeeded);

    // Nothing may follow the end.
    wire.report(update(4, &issued.command_id, ExecutionState::Failed)).await;
    let refused = wire.acknowledged(4).await;
    assert_eq!(
        (refused[0].code.as_str(), refused[0].field.as_str()),
        ("FAILED_PRECONDITION", "command.state")
    );
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn commands_wait_for_an_agent_that_is_away_and_come_in_the_order_of_their_issue() {
    let state = State::start(&database().await).await;
    let hello = hello("web-1");
    drop(AgentWire::open(state.channel(), hello.clone()).await.unwrap());
    let operator = Client::new(state.channel(), Role::Operator);
    let mut ids = Vec::new();
    for _ in 0..5 {
        let issued = operator.commands().issue_command(stop("web-1")).await.unwrap().into_inner();
        ids.push(issued.command.unwrap().command_id);
    }
    let mut wire = AgentWire::open(state.channel(), hello.clone()).await.unwrap();
    for id in &ids {
        assert_eq!(&wire.command().await.command_id, id);
    }
    // What was not acknowledged is sent again to the same run of the agent.
    drop(wire);
    let mut wire = AgentWire::open(state.channel(), hello).await.unwrap();
    assert_eq!(wire.command().await.command_id, ids[0]);
    state.stop().await;
}

#[tokio::test]
async fn a_command_that_an_earlier_run_was_sent_is_not_sent_again_and_its_fate_is_unknown() {
    let state = State::start(&database().await).await;
    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    let operator = Client::new(state.channel(), Role::Operator);
    let issued =
        operator.commands().issue_command(stop("web-1")).await.unwrap().into_inner().command.unwrap();
    wire.command().await;
    drop(wire);

    let mut restarted = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    assert_eq!(state_of(&operator, &issued.command_id).await, ExecutionState::Unknown);
    let next = operator.commands().issue_command(stop("web-1")).await.unwrap().into_inner().command.unwrap();
    assert_eq!(restarted.command().await.command_id, next.command_id, "only the new command is sent");
    state.stop().await;
}

#[tokio::test]
async fn a_durable_ledger_lets_a_command_be_sent_to_the_next_run() {
    let state = State::start(&database().await).await;
    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    let operator = Client::new(state.channel(), Role::Operator);
    let issued =
        operator.commands().issue_command(stop("web-1")).await.unwrap().into_inner().command.unwrap();
    wire.command().await;
    drop(wire);
    let durable = v1::Hello { ledger_durable: true, ..hello("web-1") };
    let mut restarted = AgentWire::open(state.channel(), durable).await.unwrap();
    assert_eq!(restarted.command().await.command_id, issued.command_id);
    state.stop().await;
}

#[tokio::test]
async fn a_command_that_nobody_could_be_given_expires() {
    let state = State::start(&database().await).await;
    register(&state, "web-1").await;
    let mut watcher = Watcher::start(state.channel()).await;
    let operator = Client::new(state.channel(), Role::Operator);
    let soon = v1::IssueCommandRequest { timeout_ms: 100, ..stop("web-1") };
    operator.commands().issue_command(soon).await.unwrap();
    assert_eq!(next_state(&mut watcher).await, "EXPIRED");
    state.stop().await;
}

#[tokio::test]
async fn a_command_that_was_delivered_and_never_answered_is_unknown_until_the_agent_settles_it() {
    let database = database().await;
    let state = State::start(&database).await;
    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    let mut watcher = Watcher::start(state.channel()).await;
    let operator = Client::new(state.channel(), Role::Operator);
    let issued =
        operator.commands().issue_command(stop("web-1")).await.unwrap().into_inner().command.unwrap();
    wire.command().await;
    assert_eq!(next_state(&mut watcher).await, "DELIVERED");
    // As if its minute had passed.
    let pool = sqlx::PgPool::connect(database.expose_secret()).await.unwrap();
    sqlx::query("UPDATE command_executions SET deadline = now() - interval '1 minute'")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(next_state(&mut watcher).await, "UNKNOWN");
    wire.report(update(1, &issued.command_id, ExecutionState::Succeeded)).await;
    assert_eq!(next_state(&mut watcher).await, "SUCCEEDED");
    state.stop().await;
}

#[tokio::test]
async fn what_was_not_delivered_is_taken_back_and_the_rest_is_asked_for() {
    let state = State::start(&database().await).await;
    let operator = Client::new(state.channel(), Role::Operator);
    register(&state, "away").await;
    let mut wire = AgentWire::open(state.channel(), hello("here")).await.unwrap();
    let agents = v1::AgentIds { agent_ids: vec!["here".into(), "away".into()] };
    let both = v1::IssueCommandRequest { target: Some(Target::Agents(agents)), ..stop("") };
    let issued = operator.commands().issue_command(both).await.unwrap().into_inner().command.unwrap();
    wire.command().await;
    let cancel = v1::CancelCommandRequest {
        command_id: issued.command_id.clone(),
        ..v1::CancelCommandRequest::default()
    };
    let command =
        operator.commands().cancel_command(cancel.clone()).await.unwrap().into_inner().command.unwrap();
    let states: Vec<_> = command.executions.iter().map(v1::CommandExecution::state).collect();
    assert_eq!(states, [ExecutionState::Canceled, ExecutionState::Delivered], "away, here");
    let asked = loop {
        if let Some(v1::connect_response::Message::CancelCommand(cancel)) = wire.next().await.unwrap() {
            break cancel;
        }
    };
    assert_eq!((asked.command_id, asked.reason.as_str()), (issued.command_id.clone(), "canceled_by_user"));
    wire.report(update(1, &issued.command_id, ExecutionState::Canceled)).await;
    wire.acknowledged(1).await;
    assert_eq!(
        operator.commands().cancel_command(cancel).await.unwrap_err().code(),
        Code::FailedPrecondition
    );
    state.stop().await;
}

#[tokio::test]
async fn a_selector_names_the_agents_that_have_its_labels_now() {
    let state = State::start(&database().await).await;
    let operator = Client::new(state.channel(), Role::Operator);
    for (agent_id, team) in [("a-1", "a"), ("a-2", "a"), ("b-1", "b")] {
        let hello = v1::Hello { labels: [("team".to_owned(), team.to_owned())].into(), ..hello(agent_id) };
        drop(AgentWire::open(state.channel(), hello).await.unwrap());
    }
    let of_a = v1::IssueCommandRequest { target: Some(Target::Selector("team=a".into())), ..stop("") };
    let command = operator.commands().issue_command(of_a).await.unwrap().into_inner().command.unwrap();
    let agents: Vec<_> = command.executions.iter().map(|execution| execution.agent_id.as_str()).collect();
    assert_eq!(agents, ["a-1", "a-2"]);
    let list = v1::ListCommandsRequest { agent_id: "a-2".into(), ..v1::ListCommandsRequest::default() };
    let commands = operator.commands().list_commands(list).await.unwrap().into_inner().commands;
    let ids: Vec<_> = commands.iter().map(|command| &command.command_id).collect();
    assert_eq!(ids, [&command.command_id]);
    let nobody = v1::IssueCommandRequest { target: Some(Target::Selector("team=z".into())), ..stop("") };
    assert_eq!(operator.commands().issue_command(nobody).await.unwrap_err().code(), Code::NotFound);
    state.stop().await;
}

#[tokio::test]
async fn no_more_than_a_thousand_commands_wait_at_an_agent() {
    let state = State::start(&database().await).await;
    for agent_id in ["full", "empty"] {
        register(&state, agent_id).await;
    }
    let operator = Client::new(state.channel(), Role::Operator);
    let issue = |_| async { operator.commands().issue_command(stop("full")).await };
    let issued = futures::future::join_all((0..1010).map(issue)).await;
    let refused: Vec<_> = issued.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 10, "also of those that share a commit");
    for status in refused {
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains("'full' has 1000 commands"), "{}", status.message());
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "target");
        assert!(status.get_details_retry_info().is_some());
    }
    operator.commands().issue_command(stop("empty")).await.unwrap();
    // What has ended makes room.
    let list = v1::ListCommandsRequest { agent_id: "full".into(), page_size: 1, ..Default::default() };
    let one = operator.commands().list_commands(list).await.unwrap().into_inner().commands.remove(0);
    let cancel = v1::CancelCommandRequest { command_id: one.command_id, ..Default::default() };
    operator.commands().cancel_command(cancel).await.unwrap();
    operator.commands().issue_command(stop("full")).await.unwrap();
    assert_eq!(
        operator.commands().issue_command(stop("full")).await.unwrap_err().code(),
        Code::ResourceExhausted
    );
    state.stop().await;
}

#[tokio::test]
async fn an_agent_that_was_away_when_a_command_was_taken_back_is_asked_when_it_returns() {
    let state = State::start(&database().await).await;
    let hello = hello("web-1");
    let mut wire = AgentWire::open(state.channel(), hello.clone()).await.unwrap();
    let operator = Client::new(state.channel(), Role::Operator);
    let issued =
        operator.commands().issue_command(stop("web-1")).await.unwrap().into_inner().command.unwrap();
    wire.command().await;
    drop(wire);
    let cancel = v1::CancelCommandRequest {
        command_id: issued.command_id.clone(),
        reason: "not needed".into(),
        ..v1::CancelCommandRequest::default()
    };
    operator.commands().cancel_command(cancel).await.unwrap();
    let mut wire = AgentWire::open(state.channel(), hello).await.unwrap();
    let asked = loop {
        if let Some(v1::connect_response::Message::CancelCommand(cancel)) = wire.next().await.unwrap() {
            break cancel;
        }
    };
    assert_eq!((asked.command_id, asked.reason.as_str()), (issued.command_id, "not needed"));
    state.stop().await;
}

#[tokio::test]
async fn answers_about_commands_fit_into_a_message_however_much_was_said() {
    let state = State::start(&database().await).await;
    let operator = Client::new(state.channel(), Role::Operator);
    let agents: Vec<_> = (0..40).map(|n| format!("web-{n:02}")).collect();
    let mut wires = Vec::new();
    for agent_id in &agents {
        wires.push(AgentWire::open(state.channel(), hello(agent_id)).await.unwrap());
    }
    let target = || Some(Target::Agents(v1::AgentIds { agent_ids: agents.clone() }));
    let mut commands = Vec::new();
    for sequence in 1..=2 {
        let request = v1::IssueCommandRequest { target: target(), ..stop("") };
        let issued = operator.commands().issue_command(request).await.unwrap().into_inner().command.unwrap();
        for wire in &mut wires {
            let body = v1::CommandUpdate {
                command_id: issued.command_id.clone(),
                state: ExecutionState::Succeeded.into(),
                result: format!("{{\"text\":\"{}\"}}", "x".repeat(60_000)).into(),
                error: "e".repeat(1000),
            };
            let body = Some(v1::report::Body::Command(body));
            wire.report(v1::Report { sequence, body, ..v1::Report::default() }).await;
            assert!(wire.acknowledged(sequence).await.is_empty());
        }
        commands.push(issued.command_id);
    }
    // 40 times 61 kB is more than 2 MiB: what is past that is left out, and its length told.
    let get = v1::GetCommandRequest { command_id: commands[0].clone() };
    let command = operator.commands().get_command(get).await.unwrap().into_inner().command.unwrap();
    assert_eq!(command.executions.len(), 40);
    let shown = command.executions.iter().take_while(|execution| !execution.result.is_empty()).count();
    assert!((30..40).contains(&shown), "{shown}");
    for (at, execution) in command.executions.iter().enumerate() {
        assert_eq!(execution.result_len, 60_011);
        let (result_len, error_len) = if at < shown { (60_011, 1000) } else { (0, 256) };
        assert_eq!((execution.result.len(), execution.error.len()), (result_len, error_len));
    }
    // Two such commands are more than a page takes.
    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let list = v1::ListCommandsRequest { page_token, ..v1::ListCommandsRequest::default() };
        let page = operator.commands().list_commands(list).await.unwrap().into_inner();
        assert_eq!(page.commands.len(), 1);
        listed.extend(page.commands.into_iter().map(|command| command.command_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    commands.reverse();
    assert_eq!(listed, commands);
    state.stop().await;
}

#[tokio::test]
async fn a_repeated_call_is_answered_though_its_agents_are_gone() {
    let state = State::start(&database().await).await;
    let (admin, operator) =
        (Client::new(state.channel(), Role::Admin), Client::new(state.channel(), Role::Operator));
    let create = v1::CreateAgentRequest {
        agent_id: "web-1".into(),
        labels: [("team".to_owned(), "a".to_owned())].into(),
        idempotency_key: "create".into(),
        ..v1::CreateAgentRequest::default()
    };
    let created = admin.agents().create_agent(create.clone()).await.unwrap().into_inner();
    let issue = v1::IssueCommandRequest {
        target: Some(Target::Selector("team=a".into())),
        idempotency_key: "issue".into(),
        ..stop("")
    };
    let issued = operator.commands().issue_command(issue.clone()).await.unwrap().into_inner();
    let delete = v1::DeleteAgentRequest { agent_id: "web-1".into(), ..v1::DeleteAgentRequest::default() };
    admin.agents().delete_agent(delete).await.unwrap();

    let again = admin.agents().create_agent(create).await.unwrap().into_inner();
    assert_eq!((again.revision, again.agent), (created.revision, None));
    let again = operator.commands().issue_command(issue.clone()).await.unwrap().into_inner();
    assert_eq!(again.revision, issued.revision);
    assert_eq!(again.command.unwrap().executions[0].state(), ExecutionState::Canceled);
    let other = v1::IssueCommandRequest { idempotency_key: "other".into(), ..issue };
    assert_eq!(operator.commands().issue_command(other).await.unwrap_err().code(), Code::NotFound);
    state.stop().await;
}

#[tokio::test]
async fn more_commands_than_one_change_delivers_come_once_each_in_the_order_of_their_issue() {
    let state = State::start(&database().await).await;
    let mut watcher = Watcher::start(state.channel()).await;
    drop(AgentWire::open(state.channel(), hello("web-1")).await.unwrap());
    while !String::from_utf8_lossy(&watcher.next_of("agent.connectivity_change").await.data)
        .contains("\"disconnected\",\"reason\"")
    {}
    let operator = Client::new(state.channel(), Role::Operator);
    let issue = |_| async {
        operator.commands().issue_command(stop("web-1")).await.map(|issued| issued.into_inner().revision)
    };
    let revisions = futures::future::try_join_all((0..600).map(issue)).await.unwrap();
    let mut issued = Vec::new();
    while issued.len() < revisions.len() {
        issued.push(watcher.next_of("command.issued").await.subject);
    }
    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    for command_id in issued {
        assert_eq!(wire.command().await.command_id, command_id);
    }
    state.stop().await;
}
