//! `signalbox-agent run`: an agent and a supervisor side by side, and the order in which they end.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use signalbox_agent::{
    Agent, Error,
    supervisor::{Exit, Supervisor},
};
use signalbox_settings::Warnings;
use tokio_util::sync::CancellationToken;

use crate::{args::RunArgs, signals::StopSignals};

/// What ends the agent.
enum End {
    Signal,
    Program,
    Session(Result<(), Error>),
}

/// Runs until a signal, the program or the server ends it. The program ends first, then what there is to report
/// of it is sent, then the session ends.
pub(crate) async fn run(args: RunArgs, warnings: &Warnings) -> Result<ExitCode> {
    let telemetry = args.telemetry.clone();
    let (config, mut program) = args.into_configs()?;
    let _telemetry = signalbox_telemetry::init("signalbox-agent", &telemetry)?;
    warnings.log();
    let mut signals = StopSignals::listen().context("listen for signals")?;
    program.guard = Some(std::env::current_exe().context("find the agent's own program")?);
    let agent = Agent::open(config)?;
    let (supervisor, handler) = Supervisor::new(program, agent.handle())?;

    let (stop_agent, stop_program, kill_program) =
        (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let mut session = tokio::spawn(agent.run(handler, stop_agent.clone()));
    let program_ended = CancellationToken::new();
    let mut program = tokio::spawn({
        let (stop, kill, ended) = (stop_program.clone(), kill_program.clone(), program_ended.clone());
        async move {
            let exit = supervisor.run(stop, kill).await;
            ended.cancel();
            exit
        }
    });

    let end = tokio::select! {
        () = signals.next() => End::Signal,
        () = program_ended.cancelled() => End::Program,
        ended = &mut session => End::Session(ended.context("the agent panicked")?),
    };
    if !matches!(end, End::Program) {
        tracing::info!("stopping the program; a further signal kills it");
    }
    stop_program.cancel();
    let exit = loop {
        tokio::select! {
            exit = &mut program => break exit.context("the supervisor panicked")?,
            () = signals.next() => kill_program.cancel(),
        }
    };
    stop_agent.cancel();
    if let End::Session(ended) = end {
        ended?;
        return Ok(ExitCode::SUCCESS);
    }
    tokio::select! {
        ended = session => ended.context("the agent panicked")??,
        () = signals.next() => tracing::warn!("not everything reported was acknowledged"),
    }
    Ok(if matches!(end, End::Program) { exit_code(exit) } else { ExitCode::SUCCESS })
}

/// The program's own code; exit codes have eight bits.
fn exit_code(exit: Option<Exit>) -> ExitCode {
    let code = exit.map_or(0, Exit::code);
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}
