//! What `dev` says when everything answers: where to look, and lines to paste into another terminal.
//!
//! It must not show a token; the lines take them from the environment file.

use std::fmt::Write as _;

use owo_colors::OwoColorize as _;

use super::demo::AGENT_ID;
use crate::house::House;

/// Prints it to standard output.
pub(super) fn print(house: &House, with_demo: bool) {
    anstream::println!("{}", text(house, with_demo));
}

fn text(house: &House, with_demo: bool) -> String {
    let plan = house.plan();
    let addresses = &plan.addresses;
    let dir = plan.dir.display();
    let cli = plan.programs.path("signalbox");
    let cli = cli.display();
    let mut out = String::new();
    let mut line = |label: &str, value: String| {
        writeln!(out, "  {:<15} {value}", label.bold()).expect("a string takes every write");
    };
    line("dashboard", format!("http://{}/", addresses.edge));
    line(
        "edge",
        format!("{}  (sentinelops /ws, freeagentics /api/v1/ws, projects /v1/ws)", addresses.ws_url()),
    );
    line("aisoc", format!("ws://{}/ws", addresses.aisoc));
    line("sentinel_ai", format!("ws://{}/ws/logs", addresses.logs));
    line("gRPC", addresses.grpc_url());
    line("metrics", format!("http://{}/metrics  http://{}/metrics", addresses.edge, addresses.state_metrics));
    if with_demo {
        line(AGENT_ID, format!("supervised program; http://{} where Python is installed", addresses.web));
        line("fleet", "simulated: incidents, cases, runs, a graph, … (without it: --no-demo)".to_owned());
    }
    line("tokens", format!("{dir}/env  (read it with `source {dir}/env`)"));
    line("logs", format!("{dir}/logs/"));
    let ws = addresses.ws_url();
    // Without the demonstration the lines name an agent that may come.
    let agent = if with_demo { AGENT_ID } else { "AGENT" };
    let bearer = "\"Authorization: Bearer $SIGNALBOX_OPERATOR_TOKEN\"";
    let subscribe = r#"{"id":"1","type":"subscribe","data":{"events":["agent.*"]}}"#;
    let watch = r#"{"type":"subscribe","data":{"events":["agent_status"]}}"#;
    let stop =
        format!(r#"{{"type":"command","data":{{"agent_id":"{agent}","command":"stop","parameters":{{}}}}}}"#);
    format!(
        "\n{}\n\n{out}\n{}\n\n  \
         source {dir}/env; export SIGNALBOX_TOKEN=$SIGNALBOX_OPERATOR_TOKEN\n\n  \
         xdg-open \"http://{}/#token=$SIGNALBOX_OPERATOR_TOKEN\"\n\n  \
         {cli} agents list\n  {cli} command stop {agent} --wait\n  {cli} events tail\n\n  \
         websocat -H {bearer} {ws}/ws\n  wscat -H {bearer} -c {ws}/ws\n    {}\n\n  \
         websocat \"{ws}/api/v1/ws?token=$SIGNALBOX_OPERATOR_TOKEN\"\n    {}\n    {}\n\n{}",
        "Signalbox is running.".green().bold(),
        "In another terminal:".bold(),
        addresses.edge,
        subscribe.cyan(),
        watch.cyan(),
        stop.cyan(),
        "Ctrl-C ends it and keeps the data.".dimmed()
    )
}
