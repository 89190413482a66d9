//! What the gate runs of it, each in a small house: half a minute with every kind of fault, spools that are handed
//! over, and a rolling restart.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use signalbox_chaos::{Course, Faults, Figures, Kind, Plan, Size, Source, check, figures, run, table, told};

/// Any seed will do; this one has many kinds of faults early on.
const SEED: u64 = 20;

/// Set by `cargo xtask test`, like the next two.
const BIN_DIR: &str = "SIGNALBOX_BIN_DIR";
/// Where there are server programs, so that Postgres can be killed as well.
const POSTGRES_BIN_DIR: &str = "SIGNALBOX_POSTGRES_BIN_DIR";
/// A server to make a database on, where there are none.
const SERVER: &str = "SIGNALBOX_TEST_DATABASE_URL";

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn postgres() -> Source {
    let server = || variable(SERVER).map(|url| Source::Server(url.into()));
    let programs = variable(POSTGRES_BIN_DIR).map(|dir| Source::Programs(dir.into()));
    programs
        .or_else(server)
        .unwrap_or_else(|| panic!("{SERVER} is not set: run the tests with `cargo xtask test`"))
}

fn plan(dir: &Path) -> Plan {
    let bin_dir = variable(BIN_DIR)
        .unwrap_or_else(|| panic!("{BIN_DIR} is not set: run the tests with `cargo xtask test`"));
    Plan {
        size: Size::SMALL,
        bin_dir: bin_dir.into(),
        own_program: PathBuf::from(env!("CARGO_BIN_EXE_signalbox-chaos")),
        postgres: postgres(),
        dir: dir.into(),
    }
}

/// Runs it, and answers the figures and how they look; fails where a promise was broken.
async fn kept(course: &Course) -> (Figures, String) {
    let dir =
        tempfile::Builder::new().prefix("signalbox-chaos-test-").tempdir().expect("a directory can be made");
    let entries = run(&plan(dir.path()), course).await.expect("a house can be built");
    let (violations, figures) = (check(&entries), figures(&entries));
    let shown = table(&figures, &violations);
    if !violations.is_empty() {
        panic!("{shown}\n{}\nkept in {}", told(&violations, course.seed), dir.keep().display());
    }
    (figures, shown)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_house_under_every_fault_keeps_its_promises() {
    let course = Course {
        seed: SEED,
        length: Duration::from_secs(30),
        every: Duration::from_secs(1),
        faults: Faults::Drawn(Kind::ALL.to_vec()),
    };
    let (figures, shown) = kept(&course).await;
    // What nobody did cannot go wrong: everybody has had something to do.
    assert!(figures.faults.values().sum::<usize>() >= 10, "{shown}");
    assert!(figures.acknowledged > 0 && figures.started > 0, "{shown}");
    for protocol in ["grpc", "sentinelops", "aisoc", "freeagentics", "sentinel_ai", "projects"] {
        assert!(figures.delivered[protocol][0] > 0, "nothing was delivered over {protocol}\n{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_agents_leave_in_their_spools_is_handed_over() {
    let course = Course {
        seed: SEED,
        length: Duration::from_secs(10),
        every: Duration::from_secs(3),
        faults: Faults::Drawn(vec![Kind::HandOver]),
    };
    let (figures, shown) = kept(&course).await;
    assert!(figures.handed_over > 0, "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_loses_nothing_and_starts_nothing_twice() {
    let course = Course {
        seed: SEED,
        length: Duration::from_secs(21),
        every: Duration::from_secs(3),
        faults: Faults::Rolling,
    };
    let (figures, shown) = kept(&course).await;
    assert_eq!(figures.faults.values().sum::<usize>(), 7, "two replicas, two edges, three agents\n{shown}");
    assert!(figures.acknowledged > 0 && figures.started > 0, "{shown}");
}
