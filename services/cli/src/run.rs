//! Reads the command line, carries it out, and says how that ended. Ctrl-C ends everything.

use clap::{CommandFactory as _, FromArgMatches as _};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    access, agents, apply,
    args::{Cli, Topic},
    audit, catalog,
    client::Client,
    command, completions, enrolment,
    error::{Error, report},
    events,
    exit::Exit,
    keys, login,
    output::Output,
    resource, tenants,
};

/// The whole program.
pub(crate) fn main() -> Exit {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to be told where even this cannot be written.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    match carry_out(cli) {
        Ok(()) => Exit::Done,
        Err(error) => {
            report(&error);
            error.exit()
        }
    }
}

fn parse() -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    // Help and errors come before the flag is parsed, and are to obey it too.
    if std::env::args_os().any(|arg| arg == "--no-color") {
        anstream::ColorChoice::Never.write_global();
        command = command.color(clap::ColorChoice::Never);
    }
    Cli::from_arg_matches(&command.try_get_matches()?)
}

fn carry_out(cli: Cli) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(Error::Start)?;
    let ended = runtime.block_on(async {
        // Heard from before the work begins, or the first Ctrl-C would end the program as if it knew nothing of it.
        let mut interrupts = signal(SignalKind::interrupt()).map_err(Error::Start)?;
        // On a thread of its own, so that it is heard while a reader of the output, or the writer of the input,
        // makes it wait.
        let work = tokio::spawn(dispatch(cli));
        tokio::select! {
            ended = work => ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())),
            _ = interrupts.recv() => Err(Error::Interrupted),
        }
    });
    runtime.shutdown_background();
    ended
}

async fn dispatch(cli: Cli) -> Result<(), Error> {
    let Cli { topic, global } = cli;
    let mut output = Output::new(global.output);
    match topic {
        Topic::Completions { shell } => completions::print(shell),
        Topic::Token(args) if args.tenant.is_some() => access::sign(args, &mut output),
        Topic::Token(args) => access::issue(&Client::connect(&global).await?, args, &mut output).await,
        Topic::Whoami => access::whoami(&Client::connect(&global).await?, &mut output).await,
        Topic::Login(args) => login::login(&global, &args, &mut output).await,
        Topic::Logout => login::logout(&global, &mut output),
        Topic::Profiles(args) => login::profiles(args, &mut output),
        Topic::Agents(what) => agents::run(&global, what, &mut output).await,
        Topic::Command(what) => command::run(&global, what, &mut output).await,
        Topic::Events(what) => events::run(&global, what, &mut output).await,
        Topic::Resource(what) => resource::run(&global, what, &mut output).await,
        Topic::Apply(args) => apply::run(&global, args, &mut output).await,
        Topic::Catalog(what) => catalog::run(&global, what, &mut output).await,
        Topic::Audit(args) => audit::run(&global, args, &mut output).await,
        Topic::Keys(what) => keys::run(&global, what, &mut output).await,
        Topic::Enrolment(what) => enrolment::run(&global, what, &mut output).await,
        Topic::Tenants(what) => tenants::run(&global, what, &mut output).await,
    }
}
