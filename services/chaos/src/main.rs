//! `signalbox-chaos`: one run, or the judgement of one that was; and the parts that it plays itself.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand, ValueEnum as _};
use secrecy::SecretString;
use signalbox_chaos::{
    Course, Experiment, Faults, Kind, Plan, Size, Source, check, figures, measure, program, record, run,
    seed_of, table, told, worker,
};
use tokio::signal::unix::{SignalKind, signal};

/// Mean time between two faults.
const EVERY: Duration = Duration::from_millis(2_500);

/// Breaks a whole Signalbox on purpose, and decides afterwards whether it kept its promises.
#[derive(Debug, Parser)]
#[command(name = "signalbox-chaos", version)]
struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Run a house under faults. Exits with 1 when a promise was broken; the history is kept either way.
    Run(RunArgs),
    /// Carry out an experiment, in a house where nothing else happens, and print its figures.
    Measure {
        /// Which one.
        #[arg(value_enum)]
        experiment: Experiment,
        /// How many clients there are in a storm.
        #[arg(long, default_value_t = 5_000)]
        clients: usize,
        /// What the house is made of.
        #[command(flatten)]
        house: HouseArgs,
    },
    /// Judge the history of an earlier run again.
    Check {
        /// The file `history.jsonl` of the run.
        history: PathBuf,
    },
    /// Be an agent built on the SDK.
    #[command(hide = true)]
    Worker(worker::WorkerArgs),
    /// Be a supervised program.
    #[command(hide = true)]
    Program(program::ProgramArgs),
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// What faults and load are drawn from; any number when absent.
    #[arg(long)]
    seed: Option<u64>,
    /// How long there are faults, in minutes.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Which faults there are; all of them when none is named.
    #[arg(long, value_enum, value_delimiter = ',')]
    faults: Vec<Kind>,
    /// Restart every replica, edge and agent in turn instead, as when new programs are rolled out.
    #[arg(long, conflicts_with = "faults")]
    rolling: bool,
    /// What the house is made of.
    #[command(flatten)]
    house: HouseArgs,
}

#[derive(Debug, clap::Args)]
struct HouseArgs {
    /// Where the built programs are.
    #[arg(long, env = "SIGNALBOX_BIN_DIR")]
    bin_dir: PathBuf,
    /// Where PostgreSQL's server programs are, for a cluster that can be killed.
    #[arg(long, env = "SIGNALBOX_POSTGRES_BIN_DIR", required_unless_present = "server")]
    postgres_bin_dir: Option<PathBuf>,
    /// A running PostgreSQL server instead, by a superuser's URL; it is not killed.
    #[arg(long, env = "SIGNALBOX_TEST_DATABASE_URL", hide_env_values = true)]
    server: Option<SecretString>,
    /// Where history, journals and logs go: a new or empty directory.
    #[arg(long)]
    dir: PathBuf,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    match Args::parse().action {
        Action::Run(args) => break_and_judge(args).await,
        Action::Measure { experiment, clients, house } => {
            let plan = plan(house, Size::EMPTY)?;
            let measured = tokio::select! {
                measured = measure(&plan, experiment, clients) => measured?,
                stopped = asked_to_stop() => { stopped?; bail!("asked to stop") }
            };
            say(&measured);
            Ok(ExitCode::SUCCESS)
        }
        Action::Check { history } => {
            let entries = record::read(&history).context("read the history")?;
            Ok(judge(&entries))
        }
        Action::Worker(args) => worker::run(args).await.map(|()| ExitCode::SUCCESS),
        Action::Program(args) => program::run(args).await.map(|()| ExitCode::SUCCESS),
    }
}

fn plan(args: HouseArgs, size: Size) -> Result<Plan> {
    let postgres = match (args.postgres_bin_dir, args.server) {
        (Some(dir), _) => Source::Programs(dir),
        (None, Some(url)) => Source::Server(url),
        (None, None) => bail!("either --postgres-bin-dir or --server is needed"),
    };
    if std::fs::read_dir(&args.dir).is_ok_and(|mut files| files.next().is_some()) {
        bail!("{} is not empty", args.dir.display());
    }
    Ok(Plan {
        size,
        bin_dir: args.bin_dir,
        own_program: std::env::current_exe().context("find this program")?,
        postgres,
        dir: std::path::absolute(&args.dir).context("find the directory")?,
    })
}

async fn break_and_judge(args: RunArgs) -> Result<ExitCode> {
    let plan = plan(args.house, Size::LARGE)?;
    let faults = match args.faults {
        _ if args.rolling => Faults::Rolling,
        kinds if kinds.is_empty() => Faults::Drawn(Kind::value_variants().to_vec()),
        kinds => Faults::Drawn(kinds),
    };
    let length =
        Duration::try_from_secs_f64(args.minutes * 60.0).context("--minutes is no length of time")?;
    let seed = args.seed.unwrap_or_else(rand::random);
    let course = Course { seed, length, every: EVERY, faults };
    let entries = tokio::select! {
        entries = run(&plan, &course) => entries?,
        stopped = asked_to_stop() => { stopped?; bail!("asked to stop") }
    };
    let verdict = judge(&entries);
    note(&format!("the history is in {}", plan.dir.join("history.jsonl").display()));
    Ok(verdict)
}

/// Waits for SIGTERM or Ctrl-C. Every process of the house is killed with what is dropped then.
async fn asked_to_stop() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        pressed = tokio::signal::ctrl_c() => pressed.context("listen for Ctrl-C"),
    }
}

fn judge(entries: &[record::Entry]) -> ExitCode {
    let violations = check(entries);
    say(&format!("seed {}\n{}", seed_of(entries), table(&figures(entries), &violations)));
    if violations.is_empty() {
        return ExitCode::SUCCESS;
    }
    say(&told(&violations, seed_of(entries)));
    ExitCode::FAILURE
}

#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "a word to whoever watches")]
fn note(text: &str) {
    eprintln!("{text}");
}
